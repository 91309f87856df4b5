import type { Adapter } from '../adapter/adapter.js'
import type { Dataset } from '../data/dataset.js'
import { countRepeats } from '../data/repeats.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { environment } from '../run/environment.js'
import { openRun, type RunFolder } from '../run/folder.js'
import { type JobOptions, threadsOf } from '../train/job.js'
import { checkBase } from '../train/prepare.js'
import { dataDigest } from '../train/train.js'
import { type Plan, planText } from '../update/plan.js'
import { ArmRunner } from './arm-runner.js'
import { type Arm, type ArmName, checkArmPlans, checkCompare, checkHorizon, defaultCompare, resultArm } from './arms.js'
import { type Conditions, checkConditions } from './participation.js'
import { folderStore, memoryStore } from './store.js'

export interface SimulateOptions extends JobOptions {
  /** arms, in the order of the result; default: base, client, one round, as many rounds as epochs, the plan's own, pooled */
  compare?: readonly ArmName[] | undefined
  /** run folder; without it nothing outlives the process */
  folder?: string | undefined
  /** go on in a run folder: finished updates, rounds and arms are not redone */
  resume?: boolean | undefined
  /** clients that train at once, sharing the threads; the result has the same bits for any number. Default 1 */
  concurrency?: number | undefined
  /**
   * most clients that take their steps together: what is frozen is computed once for all their rows, and the result has
   * the same bits. 1: each alone. Default: as many as fill a step of 256 tokens, where clients' own steps are smaller and
   * the memory is there; with `concurrency` above 1, each alone
   */
  clientBatching?: number | undefined
  /** what happens to the simulated clients: dropouts, unequal speed, a deadline; default: nothing */
  conditions?: Partial<Conditions> | undefined
  /** how often a client's unfinished training is kept, default 30 */
  checkpointSeconds?: number | undefined
}

/**
 * A whole federation on this machine, beside the arms it is compared with. Clients share the base's mapped weights and
 * nothing else: each trains from the round's start with its own optimizer state, and sends the bytes of an update
 * file. The adapter is that of the plan's own arm where it is compared, else of the first RxE arm.
 * @param clients the examples of each client by name; the last plan.data.heldOut of each judge all arms
 * @throws OneroundError ABORTED after Ctrl-C or a signal; with `folder`, everything finished so far is saved
 */
export async function simulate(
  base: Model,
  clients: Record<string, Dataset>,
  plan: Plan,
  o: SimulateOptions = {},
): Promise<{ arms: Arm[]; adapter: Adapter }> {
  const compare = checkCompare(o.compare ?? defaultCompare(plan))
  checkArmPlans(plan, compare)
  const conditions = checkConditions(o.conditions ?? {})
  checkHorizon(plan, compare)
  const concurrency = checkCount('concurrency', o.concurrency ?? 1)
  const clientBatching = o.clientBatching === undefined ? undefined : checkCount('clientBatching', o.clientBatching)
  const threads = threadsOf(o)
  const datasets = checkClients(clients, plan)
  await checkBase(base, plan)
  const folder =
    o.folder === undefined
      ? undefined
      : await openRun(o.folder, { plan: planText(plan), resume: o.resume, environment: environment({ threads }) })
  const store = folder ? folderStore(folder) : memoryStore()
  try {
    await checkData(folder, datasets)
    await checkSame(folder, conditions)
    await folder?.metrics.append({
      event: 'run',
      clients: [...datasets.keys()],
      compare,
      threads,
      concurrency,
      conditions: { ...conditions },
      repeats: countRepeats(clients, plan.data.heldOut),
      resumed: folder.resumed,
    })
    using runner = new ArmRunner({
      base,
      plan,
      datasets,
      store,
      folder,
      conditions,
      threads,
      concurrency,
      clientBatching,
      job: o,
      event: async (event) => void (await folder?.metrics.append(event)),
      checkpointSeconds: o.checkpointSeconds,
    })
    const arms: Arm[] = []
    const result = resultArm(plan, compare)
    for (const name of compare) arms.push(...(await runner.arm(name, name === result)))
    const adapter = await runner.adapter(result)
    await folder?.metrics.append({ event: 'done' })
    return { arms, adapter }
  } finally {
    await folder?.close()
  }
}

/** Client names in plain order, each with something to train on and something to be judged by. */
function checkClients(clients: Record<string, Dataset>, plan: Plan): Map<string, Dataset> {
  const names = Object.keys(clients)
  if (names.length === 0) {
    throw new OneroundError('ARGUMENT', 'A federation needs clients.', {
      found: 'none',
      expected: 'at least one',
      fix: 'Give the data of each client.',
    })
  }
  const listed = plan.clients.map((client) => client.name)
  if (
    listed.length > 0 &&
    (listed.some((name) => !names.includes(name)) || names.some((name) => !listed.includes(name)))
  ) {
    throw new OneroundError('MISMATCH', 'The data does not hold the clients of the plan.', {
      found: names.join(', '),
      expected: listed.join(', '),
      fix: 'Give the data of exactly the clients that the plan names.',
    })
  }
  if (plan.data.heldOut === 0) {
    throw new OneroundError('ARGUMENT', 'The plan holds nothing out, so no arm can be judged.', {
      found: 'data.heldOut 0',
      expected: 'above 0, such as 0.2',
      fix: 'Make a plan with --held-out 0.2.',
    })
  }
  const out = new Map<string, Dataset>()
  for (const name of names.sort()) {
    const data = clients[name]
    if (data === undefined) continue
    if (data.heldOut(plan.data.heldOut).heldOut.tokens === 0) {
      throw new OneroundError('ARGUMENT', `The held-out part of client '${name}' has no trained token.`, {
        found: `${data.count} examples`,
        expected: 'at least one held-out example with a completion',
        fix: 'Give this client more examples, or hold out more.',
      })
    }
    out.set(name, data)
  }
  return out
}

/** A run goes on only with the data it began with: its finished updates know no other. */
async function checkData(folder: RunFolder | undefined, datasets: ReadonlyMap<string, Dataset>): Promise<void> {
  if (folder === undefined) return
  for (const [client, data] of datasets) {
    const key = `data/${client}`
    const digest = dataDigest(data)
    const known = folder.result(key)
    if (known === undefined) await folder.setResult(key, digest)
    else if (known !== digest) {
      throw new OneroundError('MISMATCH', `The run was started with other data of client '${client}'.`, {
        found: `examples with digest ${digest.slice(0, 16)}…`,
        expected: `${String(known).slice(0, 16)}…`,
        fix: 'Resume with the same data and split, or choose another output folder.',
      })
    }
  }
}

/** Who drops out is part of what a run is. */
async function checkSame(folder: RunFolder | undefined, conditions: Conditions): Promise<void> {
  const now = JSON.stringify(conditions)
  const known = folder?.result('conditions')
  if (known === undefined) await folder?.setResult('conditions', now)
  else if (known !== now) {
    throw new OneroundError('MISMATCH', 'The run was started under other conditions.', {
      found: now,
      expected: String(known),
      fix: 'Resume with the same dropout, spread and deadline, or choose another output folder.',
    })
  }
}

function checkCount(name: string, count: number): number {
  if (Number.isSafeInteger(count) && count >= 1 && count <= 1024) return count
  throw new OneroundError('ARGUMENT', `${name} is not a count.`, {
    found: String(count),
    expected: '1 to 1024',
    fix: 'Leave it out, or give a small whole number.',
  })
}
