/** Is one round enough? The answer, of which evidence, with what carries it; unknown stays unknown. */
import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { JobOptions } from '../train/job.js'
import type { Plan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { diagnoseClient } from './client-evidence.js'
import type { Links } from './cost.js'
import type { LossesMessage } from './losses-file.js'
import { type Calibration, readCalibration } from './rule.js'
import { diagnoseSimulation } from './simulation-evidence.js'
import type { Margin } from './truth.js'
import type { Diagnosis } from './types.js'
import { diagnoseUpdates } from './updates-evidence.js'

export interface DiagnoseOptions extends JobOptions {
  /** needed but for runs, which hold their own */
  plan?: Plan | undefined
  /** `simulation`: run folders; the first, and all that differ in their seed only, give the verdict */
  run?: string | readonly string[] | undefined
  /** `updates`: files of one round, or updates */
  updates?: readonly (string | Update)[] | undefined
  /** with updates: NAME.losses.json of the clients */
  losses?: readonly (string | LossesMessage)[] | undefined
  aggregateSha256?: string | undefined
  base?: Model | undefined
  /** `client`: its data */
  data?: Dataset | undefined
  /** with a run: the data it was simulated with, by client */
  clients?: Record<string, Dataset> | undefined
  /** what a difference may cost; default 2 % of the gain over base */
  margin?: Margin | undefined
  /** share of the training's cost that measuring may take; default 0.05 before training, 0.25 of a simulation */
  budget?: number | undefined
  links?: Links | undefined
  /** default: this installation's */
  calibration?: Calibration | undefined
}

/**
 * One of three kinds of evidence: `run` (simulation), `updates`, or `base` and `data` of one client.
 * @throws OneroundError ARGUMENT (no or several kinds), REFUSED (an update or message that breaks a rule), MISMATCH
 */
export async function diagnose(o: DiagnoseOptions): Promise<Diagnosis> {
  checkShares(o)
  const calibration = o.calibration ?? readCalibration()
  if (o.run !== undefined) {
    return diagnoseSimulation({ ...o, runs: typeof o.run === 'string' ? [o.run] : o.run })
  }
  const { plan, base, data, updates } = o
  if (plan !== undefined && updates !== undefined && data === undefined)
    return diagnoseUpdates({ ...o, plan, updates, calibration })
  if (plan !== undefined && base !== undefined && data !== undefined && updates === undefined)
    return diagnoseClient({ ...o, plan, base, data, calibration })
  throw new OneroundError('ARGUMENT', 'A diagnosis needs one kind of evidence.', {
    found: Object.keys(o).join(', ') || 'nothing',
    expected: 'run folders; or a plan and update files; or a plan, a base and the data of one client',
    fix: 'Give exactly one of the three.',
  })
}

/** What can be refused before anything is read or run. @throws OneroundError ARGUMENT */
export function checkShares({ budget, margin }: Pick<DiagnoseOptions, 'budget' | 'margin'>): void {
  checkShare('budget', budget, 1000)
  checkShare('margin', margin?.share, 1)
}

function checkShare(name: string, value: number | undefined, most: number): void {
  if (value === undefined || (value > 0 && value <= most)) return
  throw new OneroundError('ARGUMENT', `${name} is out of range.`, {
    found: String(value),
    expected: `above 0, at most ${most}`,
    fix: `Give a ${name} such as 0.05.`,
  })
}
