import { join } from 'node:path'
import { loadAdapter } from '../adapter/folder.js'
import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { openRun, type RunFolder, readRun } from '../run/folder.js'
import type { RunState } from '../run/state.js'
import { startOfRound } from '../train/start.js'
import { parsePlan } from '../update/plan.js'
import { servesOwnStep } from '../update/strategy-checks.js'
import { readUpdate } from '../update/update.js'
import type { ValueOptions } from '../valuation/options.js'
import { type Valuation, writeValuation } from '../valuation/valuation.js'
import { valueClients } from '../valuation/value-clients.js'
import { ownArm, planOfArm, shapeOf } from './arms.js'
import { heldOutOf } from './run-data.js'
import { isFinished } from './store.js'

export interface ValueRunOptions extends ValueOptions {
  /** whose updates: `RxE`; default: the plan's own arm, else the first RxE with updates */
  arm?: string | undefined
  /** refuse data that are not the clients' own; default: others are taken whole */
  ownData?: boolean | undefined
}

export interface ValuedRun {
  valuation: Valuation
  arm: string
  /** RUN/valuation.json */
  file: string
  /** names of the given parts that the run trained on, of which only the held-out rest was taken */
  own: string[]
}

/**
 * Values the clients of a run's last round from the updates that lie in its folder. Losses of coalitions are kept in
 * RUN/values, so that a call that was stopped goes on; the result is RUN/valuation.json.
 * @throws OneroundError UNSUPPORTED where the arm's server takes a step of its own
 * @param data held-out text by name. Parts that are exactly a client's data give their held-out part alone
 */
export async function valueRun(
  folder: string,
  base: Model,
  data: Record<string, Dataset>,
  o: ValueRunOptions = {},
): Promise<ValuedRun> {
  const { plan: text, state } = await readRun(folder)
  const plan = parsePlan(text, join(folder, 'plan.json'))
  const { arm, clients } = armOf(state, o.arm, ownArm(plan), folder)
  const armPlan = planOfArm(plan, shapeOf(arm) as { rounds: number; epochs: number })
  if (servesOwnStep(armPlan)) throw otherStep(arm, armPlan.strategy?.name ?? 'fedavg')
  const held = heldOutOf(plan, state.results, data, o.ownData)
  const run = await openRun(folder, { plan: text, resume: true })
  try {
    const start = startOfRound(armPlan, armPlan.rounds, await exactBefore(run, arm, armPlan.rounds))
    const updates = []
    for (const client of clients) {
      const update = run.updateFile(arm, armPlan.rounds, client)
      if (!(await run.finished(update))) throw changed(update)
      updates.push(await readUpdate(update, armPlan))
    }
    const valuation = await valueClients(base, armPlan, start, updates, held.data, {
      keep: join(folder, 'values'),
      ...o,
    })
    const file = join(folder, 'valuation.json')
    await writeValuation(file, valuation)
    return { valuation, arm, file, own: held.own }
  } finally {
    await run.close()
  }
}

/** The arm whose last round has updates, and their clients. */
function armOf(
  state: RunState,
  wanted: string | undefined,
  own: string,
  folder: string,
): { arm: string; clients: string[] } {
  const arms = new Map<string, string[]>()
  for (const file of Object.keys(state.files)) {
    const [, arm = '', round = '', client = ''] =
      /^updates\/([^/]+)\/([^/]+)\/([^/]+)\.update\.safetensors$/.exec(file) ?? []
    if (shapeOf(arm)?.rounds === Number(round)) arms.set(arm, [...(arms.get(arm) ?? []), client])
  }
  const arm = wanted ?? (arms.has(own) ? own : arms.keys().next().value)
  const clients = arm === undefined ? undefined : arms.get(arm)
  if (arm !== undefined && clients !== undefined) return { arm, clients: clients.sort() }
  throw new OneroundError(
    'NOT_FOUND',
    `${folder} holds no updates ${wanted === undefined ? 'of any arm' : `of the arm '${wanted}'`}.`,
    {
      found: [...arms.keys()].join(', ') || 'no finished updates',
      expected: 'an arm such as 1x3 whose last round is finished',
      fix:
        wanted === undefined
          ? 'Finish the run: oneround simulate --resume.'
          : 'Name an arm that the run compared (--arm).',
    },
  )
}

async function exactBefore(run: RunFolder, arm: string, rounds: number) {
  if (rounds === 1) return undefined
  const path = run.stateFolder(arm, rounds - 1)
  if (!(await isFinished(run, path))) throw changed(path)
  return loadAdapter(path)
}

/** Values are of the weighted mean; a server that steps elsewhere serves something whose gain they would not sum to. */
function otherStep(arm: string, strategy: string): OneroundError {
  return new OneroundError(
    'UNSUPPORTED',
    `The clients of ${arm} cannot be valued: its server does not serve their mean.`,
    {
      found: `strategy ${strategy}`,
      expected: 'fedavg, fedprox or scaffold with a server learning rate of 1',
      fix: 'Name an arm whose server takes the plain mean (--arm).',
    },
  )
}

function changed(path: string): OneroundError {
  return new OneroundError('REFUSED', `${path} is not what the run wrote.`, {
    expected: "the digest in the run's state.json",
    fix: 'Restore it, or resume the run, which trains it again.',
  })
}
