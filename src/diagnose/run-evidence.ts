/** What run folders hold for a diagnosis. The files may be damaged or forged: whatever is no number is refused. */
import { join } from 'node:path'
import { z } from 'zod'
import type { Adapter } from '../adapter/adapter.js'
import { loadAdapter } from '../adapter/folder.js'
import { exactAggregate } from '../aggregate/exact.js'
import { frozenFactors } from '../aggregate/frozen.js'
import { OneroundError } from '../errors.js'
import { type ArmName, horizonOf, planOfArm, shapeOf } from '../federation/arms.js'
import { readItems } from '../federation/items.js'
import type { ItemLosses } from '../federation/judge.js'
import { closeRound } from '../federation/server.js'
import { readRun } from '../run/folder.js'
import { startOfRound } from '../train/start.js'
import { type Plan, parsePlan } from '../update/plan.js'
import { readUpdate, type Update } from '../update/update.js'

const number = z.number()
const arm = z.object({
  name: z.string().max(80),
  client: z.string().max(64).optional(),
  overall: z.object({ loss: number, tokens: number }),
  bytesUp: number,
  bytesDown: number,
  seconds: number.nullable(),
})
export type RunArm = z.output<typeof arm>

export interface RunEvidence {
  folder: string
  plan: Plan
  clients: string[]
  /** finished arms; `client` arms are left out */
  arms: Map<string, RunArm>
  /** by arm: held-out losses by client and example */
  items: Map<string, Record<string, ItemLosses>>
  /** digest of each client's examples */
  data: Record<string, string>
  /** seconds of one client's training, by arm/round/client */
  seconds: Record<string, number>
}

/** An arm's name as a part of a path, as a run folder has it. */
export const placeOf = (arm: string) => arm.replaceAll(':', '-')

/** `ablations`: arms that do on purpose what is wrong, too. */
export async function readRunEvidence(folder: string, o: { ablations?: boolean } = {}): Promise<RunEvidence> {
  const { plan: text, state } = await readRun(folder)
  const plan = parsePlan(text, join(folder, 'plan.json'))
  const arms = new Map<string, RunArm>()
  const items = new Map<string, Record<string, ItemLosses>>()
  const data: [string, string][] = []
  const seconds: [string, number][] = []
  for (const [key, value] of Object.entries(state.results)) {
    const [kind, ...rest] = key.split('/')
    if (kind === 'data' && typeof value === 'string') data.push([rest.join('/'), value])
    if (kind === 'seconds' && typeof value === 'number') seconds.push([rest.join('/'), value])
    const name = rest.join('/')
    if (kind !== 'arm' || !(name === 'base' || name === 'pooled' || shapeOf(name))) continue
    // An ablation is a result of no federation.
    if (shapeOf(name)?.leak && !o.ablations) continue
    const parsed = z.array(arm).length(1).safeParse(value)
    if (!parsed.success) continue
    arms.set(name, parsed.data[0] as RunArm)
    const place = `items/${placeOf(name)}.json`
    const file = join(folder, place)
    if (Object.hasOwn(state.files, place)) items.set(name, await readItems(file))
  }
  const listed = plan.clients.map((client) => client.name)
  const clients = (listed.length > 0 ? listed : data.map(([client]) => client)).sort()
  return {
    folder,
    plan,
    clients,
    arms,
    items,
    data: Object.fromEntries(data),
    seconds: Object.fromEntries(seconds),
  }
}

/** The arms to compare: one round of E epochs, and the most rounds among those with the same horizon. */
export function armsAtHorizon(plan: Plan, names: Iterable<string>): { one?: ArmName; several?: ArmName } {
  const horizon = horizonOf(plan)
  const shapes = [...names].flatMap((name) => {
    const shape = shapeOf(name)
    return shape !== undefined && Math.abs(shape.rounds * shape.epochs - horizon) < 1e-6
      ? [{ name: name as ArmName, ...shape }]
      : []
  })
  // The plan's own rule comes before arms whose names say another one.
  shapes.sort((a, b) => a.name.split(':').length - b.name.split(':').length)
  const one = shapes.find((shape) => shape.rounds === 1)
  const several = shapes.filter((shape) => shape.rounds > 1).sort((a, b) => b.rounds - a.rounds)[0]
  return { ...(one ? { one: one.name } : {}), ...(several ? { several: several.name } : {}) }
}

/** The updates of one round of an arm, in the order of the clients. */
export async function updatesOf(
  { folder, plan, clients }: RunEvidence,
  name: ArmName,
  round: number,
): Promise<Update[]> {
  const armPlan = planOfArm(plan, shapeOf(name) ?? { rounds: 1, epochs: 1 })
  return Promise.all(
    clients.map((client) =>
      readUpdate(join(folder, 'updates', placeOf(name), String(round), `${client}.update.safetensors`), armPlan),
    ),
  )
}

/** What an arm ended with before any method cut its rank: the last round's exact sum on what it started from. */
export async function exactOf(run: RunEvidence, name: ArmName): Promise<Adapter> {
  const shape = shapeOf(name)
  if (shape === undefined) {
    throw new OneroundError('ARGUMENT', `'${name}' has no rounds.`, { fix: 'Name an arm such as 1x3.' })
  }
  const plan = planOfArm(run.plan, shape)
  const before =
    shape.rounds === 1
      ? undefined
      : await loadAdapter(join(run.folder, 'state', placeOf(name), String(shape.rounds - 1)))
  const rule = plan.strategy ?? { name: 'fedavg', serverLearningRate: 1 }
  if ((rule.name !== 'fedavg' && rule.name !== 'fedprox') || rule.serverLearningRate !== 1) {
    throw new OneroundError(
      'UNSUPPORTED',
      `Where ${name} ended cannot be told from its updates: its server follows ${rule.name}.`,
      {
        fix: 'Compare the adapters of arms whose server takes the mean.',
      },
    )
  }
  const start = startOfRound(plan, shape.rounds, before)
  const updates = await updatesOf(run, name, shape.rounds)
  if (plan.train.trainable.kind === 'lora')
    return exactAggregate(plan, updates, frozenFactors(start.overlay, start.dense))
  // The mean of whole tensors is exact as it is served.
  const closed = await closeRound(plan, start, updates)
  return closed.last ? closed.served.adapter : closed.exact
}
