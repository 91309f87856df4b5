/** A client's part of a round where files go between machines: what it starts from, what it sends, and what it keeps. */
import type { Dataset } from '../../data/dataset.js'
import { OneroundError } from '../../errors.js'
import type { Model } from '../../model/open.js'
import { writeAtomic } from '../../run/atomic.js'
import { sha256Of } from '../../text/digest.js'
import { checkBase } from '../../train/prepare.js'
import type { Start } from '../../train/start.js'
import { checkClient, type TrainJobOptions } from '../../train/train.js'
import { besideUpdate } from '../../update/beside.js'
import { updateCount } from '../../update/layers.js'
import type { Plan } from '../../update/plan.js'
import { readBytes } from '../../update/read-file.js'
import { parseUpdate, type Update } from '../../update/update.js'
import { clientUpdate, readControl, type Visited, type VisitOptions } from '../client.js'
import { addDifference, correctionOf } from '../strategies/scaffold.js'
import { encodeOwnControl, readOwnControl, readServerControl } from './controls.js'
import { readStart } from './start-folder.js'

export interface FileVisitOptions extends TrainJobOptions {
  /** from 1; of fedbuff the client's visit */
  round: number
  /** the folder that the server made of the round before; of fedbuff its newest; none: the plan's seed */
  start?: string | undefined
  /**
   * where the plan has clients keep something (scaffold, optimizerState 'kept'), from round 2: the update file of this
   * client's last round, beside which it lies, or 'none' where this is its first
   */
  last?: string | undefined
}

export interface FileVisit {
  update: Update
  start: Start
  /** Writes the update and, beside it, what travels with it and what stays for the next round. */
  save(file: string): Promise<SavedVisit>
}

export interface SavedVisit {
  sha256: string
  bytes: number
  /** SCAFFOLD: the second file that travels */
  control?: { file: string; sha256: string; bytes: number }
  /** files that stay at the client, for its next round */
  keeps: string[]
}

/**
 * Trains a client's round from files, under any strategy.
 * @throws OneroundError as `train`; ARGUMENT where what the client kept is not named; MISMATCH where it is of another plan
 */
export async function visit(base: Model, data: Dataset, plan: Plan, o: FileVisitOptions): Promise<FileVisit> {
  checkClient(plan, o.client)
  const start = await readStart(o.start, plan, o.round)
  const kept = await readKept(plan, start, o)
  await checkBase(base, plan)
  const { start: _, last: __, ...job } = o
  const visited = await clientUpdate(base, data, plan, start, { ...job, ...kept.options })
  const update = parseUpdate(visited.bytes, plan)
  return { update, start, save: (file) => saveVisit(file, plan, o.client, start, visited, kept) }
}

interface Kept {
  options: Pick<VisitOptions, 'control' | 'correction' | 'optimizer'>
  /** SCAFFOLD's c_i; none before the client's first round */
  own?: Float32Array | undefined
}

async function readKept(plan: Plan, start: Start, o: FileVisitOptions): Promise<Kept> {
  const isScaffold = plan.strategy?.name === 'scaffold'
  const keepsOptimizer = plan.train.optimizerState === 'kept'
  const last = start.round === 1 || !(isScaffold || keepsOptimizer) ? undefined : lastOf(plan, start.round, o.last)
  const optimizer =
    keepsOptimizer && last !== undefined ? await readOptimizerFile(besideUpdate(last, 'optimizer'), plan) : undefined
  if (!isScaffold) return { options: { optimizer } }
  const control = await readServerControl(o.start, plan, start)
  const own =
    last === undefined
      ? undefined
      : await readOwnControl(besideUpdate(last, 'own-control'), plan, o.client, start.round)
  return { own, options: { optimizer, control, correction: correctionOf(control, own) } }
}

/** Forgetting c_i or the moments would be another method, silently. */
function lastOf(plan: Plan, round: number, last: string | undefined): string | undefined {
  if (last !== undefined) return last === 'none' ? undefined : last
  const what = plan.strategy?.name === 'scaffold' ? 'its control variate' : "its optimizer's state"
  throw new OneroundError('ARGUMENT', `The plan has every client keep ${what}, and none is given in round ${round}.`, {
    found: 'no last update',
    expected: "the update file of this client's last round, with what it kept beside it",
    fix: 'Name it with --last FILE (API: last); --last none where this is its first round.',
  })
}

function readOptimizerFile(file: string, plan: Plan): Promise<Uint8Array> {
  return readBytes(file, 8 * updateCount(plan) + (1 << 16))
}

async function saveVisit(
  file: string,
  plan: Plan,
  client: string,
  start: Start,
  { bytes, control, optimizer }: Visited,
  { own }: Kept,
): Promise<SavedVisit> {
  const saved: SavedVisit = { sha256: sha256Of(bytes), bytes: bytes.length, keeps: [] }
  const keep = async (what: 'optimizer' | 'own-control', content: Uint8Array) => {
    const path = besideUpdate(file, what)
    await writeAtomic(path, content)
    saved.keeps.push(path)
  }
  // After the last round there is no other that would look at either.
  if (start.round < plan.rounds) {
    if (optimizer) await keep('optimizer', optimizer)
    if (control) {
      const next = own?.slice() ?? new Float32Array(updateCount(plan))
      addDifference(next, readControl(control, plan, client, start, next.length))
      await keep('own-control', encodeOwnControl(plan, client, start.round, next))
      const path = besideUpdate(file, 'control')
      await writeAtomic(path, control)
      saved.control = { file: path, sha256: sha256Of(control), bytes: control.length }
    }
  }
  await writeAtomic(file, bytes)
  return saved
}
