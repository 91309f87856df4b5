/**
 * The metadata of an update file: a closed list of keys, each with one spelling of its value. Nothing else travels, so
 * there is no place for a time, a path, a host's name or free text.
 */
import { OneroundError } from '../errors.js'
import { LIMITS } from './limits.js'
import type { Plan, Trainable } from './plan-schema.js'

export interface UpdateInfo {
  client: string
  /** hash of the plan it was made by */
  planSha256: string
  /** from 1 */
  round: number
  /** digest of the adapter that the round started from */
  startSha256: string
  /** examples trained on */
  examples?: number
  /** tokens trained on, an epoch */
  tokens?: number
  /** mean loss on the client's own held-out part, before and after; natural logarithm */
  lossBefore?: number
  lossAfter?: number
}

/** Kinds of tensors that an update holds, by what the plan trains. */
export const KINDS = { lora: 'lora_A,lora_B', full: 'delta' } as const satisfies Record<Trainable['kind'], string>
export type UpdateKind = keyof typeof KINDS
const VERSION = '1'

interface Field {
  key: string
  required: boolean
  /** what it is, for the person who lets it leave */
  meaning: string
}

/** Every metadata key that there is, by the field of UpdateInfo. */
export const INFO_FIELDS: Readonly<Record<keyof UpdateInfo, Field>> = {
  client: { key: 'client', required: true, meaning: "the client's name in the plan" },
  planSha256: { key: 'plan', required: true, meaning: 'hash of the plan that was followed' },
  round: { key: 'round', required: true, meaning: 'the round, from 1' },
  startSha256: { key: 'start', required: true, meaning: 'digest of the adapter that the round started from' },
  examples: { key: 'examples', required: false, meaning: 'number of examples trained on' },
  tokens: { key: 'tokens', required: false, meaning: 'number of tokens trained on in an epoch' },
  lossBefore: {
    key: 'loss_before',
    required: false,
    meaning: "mean loss on the client's own held-out examples before training",
  },
  lossAfter: {
    key: 'loss_after',
    required: false,
    meaning: "mean loss on the client's own held-out examples after training",
  },
}
const FORMAT_KEY = 'oneround.update'
const KINDS_KEY = 'kinds'

/** UpdateInfo -> metadata. */
export function encodeInfo(info: UpdateInfo, kind: UpdateKind): Record<string, string> {
  const metadata: Record<string, string> = { [FORMAT_KEY]: VERSION, [KINDS_KEY]: KINDS[kind] }
  for (const [field, { key }] of Object.entries(INFO_FIELDS)) {
    const value = info[field as keyof UpdateInfo]
    if (value !== undefined) metadata[key] = String(value)
  }
  // What could not be read back must not be written.
  decodeInfo(metadata, 'The update')
  return metadata
}

/** Metadata -> UpdateInfo and the kind of tensors. Unknown keys and values in any other than their one spelling are refused. */
export function decodeInfo(
  metadata: Readonly<Record<string, string>>,
  source: string,
): { info: UpdateInfo; kind: UpdateKind } {
  const known = new Set([FORMAT_KEY, KINDS_KEY, ...Object.values(INFO_FIELDS).map((field) => field.key)])
  const stranger = Object.keys(metadata).find((key) => !known.has(key))
  const read = (key: string) => (Object.hasOwn(metadata, key) ? metadata[key] : undefined)
  if (read(FORMAT_KEY) !== VERSION) {
    throw malformed(
      source,
      read(FORMAT_KEY) === undefined ? 'no format version' : `format version '${read(FORMAT_KEY)?.slice(0, 20)}'`,
      `'${FORMAT_KEY}': '${VERSION}'`,
    )
  }
  if (stranger !== undefined)
    throw malformed(source, `the metadata key '${stranger.slice(0, 80)}'`, `only ${[...known].join(', ')}`)
  const kind = (Object.keys(KINDS) as UpdateKind[]).find((name) => KINDS[name] === read(KINDS_KEY))
  if (kind === undefined) {
    const expected = Object.values(KINDS).map((kinds) => `'${kinds}'`)
    throw malformed(source, `tensors of kinds '${read(KINDS_KEY)?.slice(0, 80)}'`, expected.join(' or '))
  }
  const missing = Object.values(INFO_FIELDS).find((field) => field.required && read(field.key) === undefined)
  if (missing !== undefined) throw malformed(source, `no '${missing.key}'`, missing.meaning)
  const info: UpdateInfo = {
    client: matching(read('client') ?? '', /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'client', source),
    planSha256: matching(read('plan') ?? '', /^[0-9a-f]{64}$/, 'plan', source),
    round: count(read('round') ?? '', 'round', 1, LIMITS.rounds, source),
    startSha256: matching(read('start') ?? '', /^[0-9a-f]{64}$/, 'start', source),
  }
  const examples = read('examples')
  const tokens = read('tokens')
  const before = read('loss_before')
  const after = read('loss_after')
  if (examples !== undefined) info.examples = count(examples, 'examples', 0, LIMITS.count, source)
  if (tokens !== undefined) info.tokens = count(tokens, 'tokens', 0, LIMITS.count, source)
  if (before !== undefined) info.lossBefore = loss(before, 'loss_before', source)
  if (after !== undefined) info.lossAfter = loss(after, 'loss_after', source)
  return { info, kind }
}

/** What of `info` the plan lets leave the client. */
export function shareable(plan: Pick<Plan, 'share'>, info: UpdateInfo): UpdateInfo {
  const { client, planSha256, round, startSha256, examples, tokens, lossBefore, lossAfter } = info
  const shared: UpdateInfo = { client, planSha256, round, startSha256 }
  if (plan.share.includes('examples') && examples !== undefined) shared.examples = examples
  if (plan.share.includes('tokens') && tokens !== undefined) shared.tokens = tokens
  if (plan.share.includes('losses') && lossBefore !== undefined) shared.lossBefore = lossBefore
  if (plan.share.includes('losses') && lossAfter !== undefined) shared.lossAfter = lossAfter
  return shared
}

function matching(text: string, pattern: RegExp, key: string, source: string): string {
  if (!pattern.test(text))
    throw malformed(source, `'${key}': ${JSON.stringify(text.slice(0, 80))}`, `text like ${pattern.source}`)
  return text
}

/** A number in ECMAScript's own spelling: the same number always has the same bytes, and there is no room for another message. */
function number(text: string, key: string, source: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || String(value) !== text)
    throw malformed(
      source,
      `'${key}': ${JSON.stringify(text.slice(0, 80))}`,
      'a finite number in its shortest spelling',
    )
  return value
}

function count(text: string, key: string, least: number, most: number, source: string): number {
  const value = number(text, key, source)
  if (!Number.isInteger(value) || value < least || value > most)
    throw malformed(source, `'${key}': ${value}`, `a whole number from ${least} to ${most}`)
  return value
}

function loss(text: string, key: string, source: string): number {
  const value = number(text, key, source)
  if (value < 0) throw malformed(source, `'${key}': ${value}`, 'a loss of at least 0')
  return value
}

function malformed(source: string, found: string, expected: string): OneroundError {
  return new OneroundError('MALFORMED', `${source} is not a sound update: it has ${found}.`, {
    found,
    expected,
    fix: 'Have the client train again and send its update file unchanged.',
  })
}
