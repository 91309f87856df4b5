/**
 * What a state file says of its clients and their sums, held against what clients can have. The digest finds damage; a
 * forger writes one that fits, so nothing is believed because of it.
 */
import { z } from 'zod'
import type { Layer } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import { native } from '../native/load.js'
import { checkStated, MAX_EFFECT } from '../update/checks.js'
import { decodeInfo, type UpdateInfo } from '../update/info.js'
import { LIMITS } from '../update/limits.js'
import { type Plan, planSha256 } from '../update/plan.js'
import { gridStep, MOST_STEPS, MOST_SUM, onGrid } from './grid.js'
import type { Factors, Keep, Member } from './member.js'
import { weightOf } from './weights.js'

const schema = z
  .array(
    z.strictObject({
      info: z.record(z.string(), z.string()),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      steps: z.number().min(0).lt(MOST_STEPS),
    }),
  )
  .max(LIMITS.clients)

/** Where the state is to be used, as far as that is known. */
export interface StatePlace {
  round?: number | undefined
  startSha256?: string | undefined
}

/** The clients of a state, without their factors. */
export function readMembers(text: string, plan: Plan, keep: Keep, place: StatePlace, file: string): Member[] {
  const parsed = schema.safeParse(membersOf(text, file))
  if (!parsed.success) throw malformedState(file, 'a list of clients that is not one')
  const hash = planSha256(plan)
  const listed = new Set(plan.clients.map((client) => client.name))
  const members: Member[] = []
  for (const { info: metadata, sha256, steps } of parsed.data) {
    const { info, kind } = decodeInfo(metadata, file)
    const { client } = info
    if (kind !== 'lora') throw malformedState(file, `updates of kind ${kind}`)
    const [first] = members
    const last = members.at(-1)?.info.client
    if (last !== undefined && !(last < client))
      throw breaks(file, client, 'order', `behind '${last}'`, 'clients once and in the order of their names')
    if (listed.size > 0 && !listed.has(client))
      throw breaks(file, client, 'client', `'${client}'`, 'a client of the plan')
    for (const [rule, found, expected] of [
      ['plan', info.planSha256, hash],
      ['round', String(info.round), String(place.round ?? first?.info.round ?? info.round)],
      ['start', info.startSha256, place.startSha256 ?? first?.info.startSha256 ?? info.startSha256],
    ] as const)
      if (found !== expected) throw breaks(file, client, rule, `${rule} ${found}`, `${rule} ${expected}`)
    checkCount(plan, info, file)
    if (keep === 'updates' && steps !== 0)
      throw breaks(file, client, 'steps', `${steps} steps`, '0 where updates are kept')
    members.push({ info, sha256, steps, factors: new Map() })
  }
  checkTotals(plan, members, file)
  return members
}

function membersOf(text: string, file: string): unknown {
  try {
    const json: unknown = JSON.parse(text)
    return Array.isArray(json) ? json.map((one) => ({ ...one, steps: Number(one?.steps) })) : json
  } catch {
    throw malformedState(file, 'a list of clients that is not JSON')
  }
}

/** A count that the plan's weights need must be there, and none that the plan does not share. */
function checkCount(plan: Plan, info: UpdateInfo, file: string): void {
  try {
    checkStated(plan, { info })
    weightOf(plan.aggregate.weights, info)
  } catch (error) {
    if (!(error instanceof OneroundError)) throw error
    throw breaks(file, info.client, 'stated', error.found ?? 'nothing', error.expected ?? 'what the plan shares')
  }
}

/** Sums over clients that must stay whole numbers: steps in 64 bits, counts in 53. */
function checkTotals(plan: Plan, members: readonly Member[], file: string): void {
  let [steps, weight] = [0, 0]
  for (const member of members) {
    const { client } = member.info
    steps += member.steps
    weight += weightOf(plan.aggregate.weights, member.info)
    if (steps >= MOST_SUM)
      throw breaks(
        file,
        client,
        'grid',
        `${steps.toExponential(2)} steps`,
        `below ${MOST_SUM.toExponential(2)} with all before`,
      )
    if (weight > Number.MAX_SAFE_INTEGER)
      throw breaks(file, client, 'count', `${weight} with all before`, `at most ${Number.MAX_SAFE_INTEGER}`)
  }
}

/** Factors that are kept cannot be larger on the grid than their client's steps say: later sums rely on that. */
export function checkSteps(plan: Plan, layer: Layer, { info, steps }: Member, factors: Factors, file: string): void {
  const { weights } = plan.aggregate
  const addend = onGrid(layer, factors, weightOf(weights, info), gridStep(weights))
  const bound = native().elementBound(layer.in, layer.out, [addend])
  if (bound <= steps) return
  throw breaks(
    file,
    info.client,
    'grid',
    `elements of up to ${bound} steps in layer '${layer.name}'`,
    `${steps}, as it says`,
  )
}

/** A sum that its clients can have: no element beyond their steps, no effect beyond what each may have. */
export function checkGrid(
  plan: Plan,
  layer: Layer,
  grid: BigInt64Array,
  members: readonly Member[],
  file: string,
): void {
  const { weights } = plan.aggregate
  // Each addend is rounded by half a step at most; f32 rounds the values that are looked at.
  const slack = 1 + 1e-6
  const most = members.reduce((total, { steps }) => total + steps + 0.5, 0) * slack
  const weight = members.reduce((total, { info }) => total + weightOf(weights, info), 0)
  const size = Math.sqrt(layer.in * layer.out)
  const mostEffect = MAX_EFFECT * slack + (members.length * gridStep(weights)) / Math.max(weight, gridStep(weights))
  let squares = 0
  for (const value of native().gridValues(grid, 1)) {
    if (Math.abs(value) > most) throw breaksSum(file, layer, 'grid', `${value} steps`, `at most ${most} of its clients`)
    squares += value * value
  }
  const effect = (Math.sqrt(squares) * gridStep(weights)) / (weight * size)
  if (weight === 0 || effect <= mostEffect) return
  throw breaksSum(
    file,
    layer,
    'norm',
    `an effect of ${effect.toPrecision(4)}`,
    `at most ${MAX_EFFECT}, as each client's`,
  )
}

function breaks(file: string, client: string, rule: string, value: string, limit: string): OneroundError {
  return broken(file, `client '${client}' in it breaks the rule '${rule}'`, value, limit)
}

function breaksSum(file: string, { name }: Layer, rule: string, value: string, limit: string): OneroundError {
  return broken(file, `its sum of layer '${name}' breaks the rule '${rule}'`, value, limit)
}

function broken(file: string, what: string, value: string, limit: string): OneroundError {
  return new OneroundError(
    'MALFORMED',
    `${file} is not a sound aggregation state: ${what}: ${value}; must be ${limit}.`,
    {
      found: value,
      expected: limit,
      fix: 'Aggregate the updates again.',
    },
  )
}

export function malformedState(file: string, found: string, expected?: string): OneroundError {
  return new OneroundError('MALFORMED', `${file} is not a sound aggregation state: it has ${found}.`, {
    found,
    expected: expected ?? 'a state that aggregate --state wrote, unchanged',
    fix: 'Aggregate the updates again.',
  })
}
