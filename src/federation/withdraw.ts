/**
 * Withdrawal: a client's update leaves a run or a state, and the result is bit for bit what it would be without it.
 * A receipt says who, when, and the digests before and after.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { loadAdapter } from '../adapter/folder.js'
import { openAggregator } from '../aggregate/aggregator.js'
import type { LayerJobs } from '../aggregate/layers.js'
import { OneroundError } from '../errors.js'
import { writeAtomic } from '../run/atomic.js'
import { openRun, type RunFolder, readRun } from '../run/folder.js'
import type { RunState } from '../run/state.js'
import { startOfRound } from '../train/start.js'
import { type Plan, parsePlan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { type ArmName, ownArm, planOfArm, shapeOf } from './arms.js'
import { closeRound } from './server.js'
import { keepAdapter } from './store.js'

/** of `value` and `diagnose`: both can be made again from the updates that stay */
const DERIVED = ['valuation.json', 'values', 'diagnosis.json']

export interface Withdrawal {
  version: 1
  client: string
  /** ISO 8601, UTC */
  time: string
  /** digest of the aggregation's state (clients and their updates) with the client and without */
  stateBefore: string
  stateAfter: string
  /** run folders: the update files that were deleted */
  deleted: { file: string; sha256: string }[]
  /** what still depends on the client and cannot be taken back here */
  cannotUndo: string[]
}

/**
 * Takes a client out of a state file and writes the state anew; the receipt lies beside it.
 * @param updates files or updates to look in, where the state kept only sums
 */
export async function withdrawFromState(
  plan: Plan,
  file: string,
  client: string,
  o: LayerJobs & { updates?: Iterable<Update | string> } = {},
): Promise<{ withdrawal: Withdrawal; receipt: string }> {
  const aggregator = await openAggregator(plan, file, o)
  const stateBefore = await aggregator.digest()
  await aggregator.remove(client, o.updates === undefined ? {} : { updates: o.updates })
  const { sha256 } = await aggregator.save(file)
  const withdrawal = note(
    client,
    stateBefore,
    sha256,
    [],
    ['adapters that were made from this state before', 'copies of the state or of the update that others hold'],
  )
  const receipt = `${file}.withdrawn-${client}.json`
  await writeAtomic(receipt, `${JSON.stringify(withdrawal, undefined, 2)}\n`)
  return { withdrawal, receipt }
}

/** Takes a client out of a run folder: its updates are deleted and the served adapter is made anew without it. */
export async function withdrawFromRun(
  path: string,
  client: string,
  jobs: LayerJobs = {},
): Promise<{ withdrawal: Withdrawal; receipt: string }> {
  const { plan: text, state } = await readRun(path)
  const plan = parsePlan(text, join(path, 'plan.json'))
  const updates = updatesOf(state)
  const own = updates.filter((update) => update.client === client)
  if (own.length === 0) {
    throw new OneroundError('NOT_FOUND', `The run ${path} holds no update of client '${client}'.`, {
      found: [...new Set(updates.map((update) => update.client))].sort().join(', ') || 'no updates',
      fix: 'Name one of the clients whose updates the run holds.',
    })
  }
  const arm = servedArm(plan, updates, path)
  const folder = await openRun(path, { plan: text, resume: true })
  try {
    const { stateBefore, stateAfter } = await serveWithout(folder, plan, arm, updates, client, jobs)
    for (const { file } of own)
      for (const name of [file, `${file}.checkpoint`]) await rm(join(path, name), { force: true })
    // What was computed from the client's update alone, or names what it was worth, goes with it.
    for (const name of DERIVED) await rm(join(path, name), { recursive: true, force: true })
    const gone = own.map(({ file }) => join(path, file))
    await folder.forget(gone, [
      ...own.map(({ arm: of, round }) => `seconds/${of}/${round}/${client}`),
      `data/${client}`,
    ])
    const withdrawal = note(
      client,
      stateBefore,
      stateAfter,
      own.map(({ file }) => ({ file, sha256: state.files[file]?.sha256 ?? '' })),
      remaining(updates),
    )
    const receipt = join(path, 'withdrawals', `${client}.json`)
    await writeAtomic(receipt, `${JSON.stringify(withdrawal, undefined, 2)}\n`)
    await folder.finish(receipt)
    await folder.metrics.append({ event: 'withdrawal', client, stateBefore, stateAfter })
    return { withdrawal, receipt }
  } finally {
    await folder.close()
  }
}

interface StoredUpdate {
  /** path inside the run folder */
  file: string
  arm: string
  round: number
  client: string
}

/** The finished updates of federated arms; the pooled arm's one model has no client. */
function updatesOf(state: RunState): StoredUpdate[] {
  return Object.keys(state.files).flatMap((file) => {
    const match = /^updates\/([^/]+)\/(\d+)\/([^/]+)\.update\.safetensors$/.exec(file)
    const [, arm = '', round = '', client = ''] = match ?? []
    return shapeOf(arm) === undefined ? [] : [{ file, arm, round: Number(round), client }]
  })
}

/** The arm whose adapter the run serves: the plan's own, or the only one there is. */
function servedArm(plan: Plan, updates: readonly StoredUpdate[], path: string): ArmName {
  const arms = [...new Set(updates.map((update) => update.arm))] as ArmName[]
  const own = ownArm(plan)
  const [first] = arms
  if (arms.includes(own)) return own
  if (first !== undefined && arms.length === 1) return first
  throw new OneroundError('UNSUPPORTED', `It cannot be told which arm of ${path} made its adapter.`, {
    found: arms.join(', '),
    expected: `the plan's own arm ${own}, or one arm only`,
    fix: 'Aggregate the update files that remain with: oneround aggregate.',
  })
}

/** The served adapter from the last round's updates but the client's; digests of the aggregation with it and without. */
async function serveWithout(
  folder: RunFolder,
  plan: Plan,
  arm: ArmName,
  updates: readonly StoredUpdate[],
  client: string,
  jobs: LayerJobs,
): Promise<{ stateBefore: string; stateAfter: string }> {
  const shape = shapeOf(arm)
  if (shape === undefined) throw new TypeError(arm)
  const armPlan = planOfArm(plan, shape)
  const last = updates.filter((update) => update.arm === arm && update.round === shape.rounds)
  const rest = last.filter((update) => update.client !== client)
  if (rest.length === 0) {
    throw new OneroundError('REFUSED', `Without client '${client}' nobody is left.`, {
      found: 'one client',
      expected: 'at least one other update',
      fix: 'Delete the run folder.',
    })
  }
  const exact = shape.rounds === 1 ? undefined : await loadAdapter(folder.stateFolder(arm, shape.rounds - 1))
  const start = startOfRound(armPlan, shape.rounds, exact)
  const aggregator = await openAggregator(armPlan, undefined, {
    ...jobs,
    round: start.round,
    startSha256: start.sha256,
  })
  for (const { file } of last) await aggregator.add(join(folder.path, file))
  const stateBefore = await aggregator.digest()
  if (rest.length < last.length) await aggregator.remove(client)
  const closed = await closeRound(
    armPlan,
    start,
    rest.map(({ file }) => join(folder.path, file)),
    jobs,
  )
  if (closed.last) await keepAdapter(folder, folder.adapterFolder, closed.served.adapter)
  return { stateBefore, stateAfter: await aggregator.digest() }
}

function remaining(updates: readonly StoredUpdate[]): string[] {
  const several = [...new Set(updates.filter((update) => update.round > 1).map((update) => update.arm))]
  return [
    ...several.map(
      (arm) =>
        `arm ${arm}: the other clients' updates after round 1, and the aggregates under state/${arm}, were made from sums that held this client's update`,
    ),
    'scores, the report and the pooled arm of this run, which were made with the client',
    'copies of the adapter or of the update that others hold',
  ]
}

function note(
  client: string,
  stateBefore: string,
  stateAfter: string,
  deleted: Withdrawal['deleted'],
  cannotUndo: string[],
): Withdrawal {
  return { version: 1, client, time: new Date().toISOString(), stateBefore, stateAfter, deleted, cannotUndo }
}
