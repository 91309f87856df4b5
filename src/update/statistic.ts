/**
 * A statistic of a client's data, as a file beside its update: what the methods `fisher` and `regmean` weigh by. It
 * names the update that it was measured at, so that no other one is weighed by it.
 */
import { OneroundError } from '../errors.js'
import { layOutSafetensors } from '../model/safetensors-layout.js'
import { LIMITS } from './limits.js'
import { type Plan, planSha256 } from './plan.js'
import { clientName } from './plan-schema.js'

export const STATISTICS = ['fisher', 'regmean'] as const
export type StatisticKind = (typeof STATISTICS)[number]

/** Of one client and layer. */
export interface LayerStatistic {
  /** fisher: mean squared gradient of the loss for each number of A, [rank, in]; not negative */
  fisherA?: Float32Array
  /** fisher: the same for B, [out, rank] */
  fisherB?: Float32Array
  /** regmean: X'X over the rows X that the layer saw, [in, in], symmetric */
  inputs?: Float32Array
}

/** Whose statistic it is, and of which update. */
export interface StatisticInfo {
  kind: StatisticKind
  client: string
  planSha256: string
  round: number
  startSha256: string
  /** of the update file's bytes */
  updateSha256: string
}

/** Metadata key of the format's version. */
export const STATISTIC_KEY = 'oneround.statistic'

function encodeStatisticInfo(info: StatisticInfo): Record<string, string> {
  const { kind, client, planSha256: plan, round, startSha256: start, updateSha256: update } = info
  return { [STATISTIC_KEY]: '1', kind, client, plan, round: String(round), start, update }
}

/** Metadata -> info; what is not exactly what encodeStatisticInfo writes is refused. */
export function decodeStatisticInfo(metadata: Readonly<Record<string, string>>, source: string): StatisticInfo {
  const read = (key: string) => (Object.hasOwn(metadata, key) ? (metadata[key] ?? '') : '')
  const kind = STATISTICS.find((name) => name === read('kind'))
  const round = Number(read('round'))
  if (kind === undefined || !(round >= 1 && round <= LIMITS.rounds))
    throw malformed(source, `kind '${read('kind').slice(0, 40)}', round '${read('round').slice(0, 40)}'`)
  const info: StatisticInfo = {
    kind,
    client: read('client'),
    planSha256: read('plan'),
    round,
    startSha256: read('start'),
    updateSha256: read('update'),
  }
  const hashes = [info.planSha256, info.startSha256, info.updateSha256]
  const own = encodeStatisticInfo(info)
  const stranger = [...new Set([...Object.keys(metadata), ...Object.keys(own)])].find((key) => read(key) !== own[key])
  if (stranger !== undefined) throw malformed(source, `'${stranger.slice(0, 80)}': '${read(stranger).slice(0, 80)}'`)
  if (!clientName.safeParse(info.client).success || !hashes.every((hash) => /^[0-9a-f]{64}$/.test(hash)))
    throw malformed(source, 'a client or a digest that is none')
  return info
}

/** The tensors that a statistic has under a plan, by layer and in the order of its names. */
export function statisticTensors(plan: Plan, kind: StatisticKind): { layer: string; name: string; shape: number[] }[] {
  return plan.layers.flatMap(({ name, in: inDim, out, rank }) =>
    kind === 'regmean'
      ? [{ layer: name, name: `${name}.inputs`, shape: [triangle(inDim)] }]
      : [
          { layer: name, name: `${name}.fisher_A`, shape: [rank, inDim] },
          { layer: name, name: `${name}.fisher_B`, shape: [out, rank] },
        ],
  )
}

/** Where everything lies in the file; it follows from plan and info, so a reader compares the header with it. */
export function statisticLayout(plan: Plan, info: StatisticInfo): ReturnType<typeof layOutSafetensors> {
  const tensors = statisticTensors(plan, info.kind)
  const count = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
  if (count * 4 > LIMITS.updateBytes - LIMITS.updateHeaderBytes) throw tooLarge(info.kind, count * 4)
  const described = new Map(tensors.map(({ name, shape }) => [name, { dtype: 'F32', shape }]))
  return layOutSafetensors(described, encodeStatisticInfo(info))
}

/** Numbers of a symmetric matrix of this size. */
export function triangle(size: number): number {
  return (size * (size + 1)) / 2
}

/** A statistic whose client, plan, round or start is not the round's. The plan's hash covers the base's digest. */
export function checkStatisticOrigin(plan: Plan, info: StatisticInfo, o: { round: number; startSha256: string }): void {
  const rows = [
    ['plan', info.planSha256, planSha256(plan)],
    ['round', String(info.round), String(o.round)],
    ['start', info.startSha256, o.startSha256],
  ] as const
  for (const [rule, found, expected] of rows)
    if (found !== expected) throw statisticRefusal(info.client, rule, `${rule} ${found}`, `${rule} ${expected}`)
}

/** A rule that a statistic breaks: client, rule, value and limit. */
export function statisticRefusal(client: string, rule: string, value: string, limit: string): OneroundError {
  return new OneroundError(
    'REFUSED',
    `The statistic of client '${client}' breaks the rule '${rule}': ${value}; must be ${limit}.`,
    { found: value, expected: limit, fix: 'Have the client measure it with its update (train --statistic).' },
  )
}

function tooLarge(kind: StatisticKind, bytes: number): OneroundError {
  return new OneroundError('UNSUPPORTED', `The statistic of ${kind} is too large for a file.`, {
    found: `${bytes} bytes`,
    expected: `at most ${LIMITS.updateBytes - LIMITS.updateHeaderBytes}`,
    fix: 'Adapt fewer or narrower layers, or choose another method.',
  })
}

export function malformed(source: string, found: string): OneroundError {
  return new OneroundError('MALFORMED', `${source} is not a sound statistic: it has ${found}.`, {
    found,
    expected: 'what train --statistic writes, unchanged',
    fix: 'Have the client measure it again and send the file unchanged.',
  })
}
