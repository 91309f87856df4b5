/** What any of our files is, field by field. */
import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { loadAdapter } from '../adapter/folder.js'
import { formOf } from '../adapter/forms.js'
import { DENSE_FILES, METHOD_KEY, PEFT_SEAL } from '../adapter/peft-save.js'
import { OneroundError } from '../errors.js'
import { readSafetensorsHeader } from '../model/safetensors.js'
import { isRunFolder, readRun } from '../run/folder.js'
import { readMetrics } from '../run/metrics.js'
import { fileError } from '../text/bounded-file.js'
import { jsonOf } from './checked-json.js'
import { checkUpdate } from './checks.js'
import { decodeUpdate, ENDINGS } from './decode.js'
import type { LeavingField } from './describe.js'
import { adapterSha256 } from './digest.js'
import { INFO_FIELDS, type UpdateInfo } from './info.js'
import { type FormFields, ggufFields, layerField, mlxFields } from './inspect-forms.js'
import { LIMITS } from './limits.js'
import { norm } from './norm.js'
import { parsePlan, planSha256 } from './plan.js'
import type { Plan } from './plan-schema.js'
import { readBytes, readText } from './read-file.js'
import { parseReceipt } from './receipt.js'
import { checkStatisticOrigin, STATISTIC_KEY } from './statistic.js'
import { openStatistic } from './statistic-file.js'
import { parseUpdate } from './update.js'

type InspectedKind =
  | 'plan'
  | 'update'
  | 'receipt'
  | 'adapter'
  | 'mlx adapter'
  | 'gguf adapter'
  | 'run'
  | 'state'
  | 'statistic'
  | 'safetensors'

interface Inspection {
  kind: InspectedKind
  path: string
  fields: LeavingField[]
  /** what a person should know before passing it on */
  notes: string[]
  /** with a plan and an update: whether it would be taken, and if not, which rule it breaks */
  accepted?: boolean
  refusal?: OneroundError
}

const STACK_NOTE =
  "The method 'stack' keeps every client's factors verbatim inside the adapter: publishing it publishes every update."
/** metadata key of an aggregator's state file */
export const STATE_KEY = 'oneround.aggregation'
const STATE_NOTE = 'A state is as confidential as the updates in it: every client in it can be taken out again.'
const STATISTIC_NOTE = 'A statistic says more about the data than its update alone, and is as confidential.'
const UPDATE_NOTE = 'An update is not anonymous: text may be inferred from its numbers.'

/** Reads a file or folder and says what it is. A file that is broken is refused with the reason. */
export async function inspectFile(path: string, plan?: Plan): Promise<Inspection> {
  const info = await stat(path).catch((cause: unknown) => {
    throw fileError(path, cause)
  })
  if (info.isDirectory()) {
    if (await isRunFolder(path)) return inspectRun(path)
    return (await formOf(path)) === 'mlx' ? withNotes('mlx adapter', await mlxFields(path), path) : inspectAdapter(path)
  }
  if ((await formOf(path)) === 'gguf-adapter') return withNotes('gguf adapter', await ggufFields(path), path)
  if (path.endsWith('.json')) return inspectJson(path)
  const header = await readSafetensorsHeader(path)
  if (Object.hasOwn(header.metadata, 'oneround.update') || path.endsWith('.update.safetensors'))
    return inspectUpdate(path, plan)
  const fields = Object.entries(header.metadata).map(([field, value]) => ({ field, meaning: 'metadata', value }))
  for (const { name, dtype, shape } of header.tensors)
    fields.push({ field: name, meaning: 'tensor', value: `${dtype} [${shape.join(', ')}]` })
  if (Object.hasOwn(header.metadata, STATISTIC_KEY)) return inspectStatistic(path, fields, plan)
  // aggregate/state-file.ts, a storey above, says what the metadata are and refuses what does not fit
  if (Object.hasOwn(header.metadata, STATE_KEY)) return { kind: 'state', path, fields, notes: [STATE_NOTE] }
  return { kind: 'safetensors', path, fields, notes: header.metadata[METHOD_KEY] === 'stack' ? [STACK_NOTE] : [] }
}

function withNotes(kind: InspectedKind, { fields, method }: FormFields, path: string): Inspection {
  return { kind, path, fields, notes: method === 'stack' ? [STACK_NOTE] : [] }
}

/** Which layers and shapes it must have, only a plan says. */
async function inspectStatistic(path: string, fields: LeavingField[], plan: Plan | undefined): Promise<Inspection> {
  const result: Inspection = { kind: 'statistic', path, fields, notes: [STATISTIC_NOTE] }
  if (plan === undefined) return result
  try {
    const { info } = await openStatistic(path, plan)
    checkStatisticOrigin(plan, info, info)
    return { ...result, accepted: true }
  } catch (error) {
    if (!(error instanceof OneroundError)) throw error
    return { ...result, accepted: false, refusal: error }
  }
}

async function inspectUpdate(path: string, plan: Plan | undefined): Promise<Inspection> {
  const bytes = await readBytes(path, LIMITS.updateBytes)
  const decoded = decodeUpdate(bytes, path)
  const { info } = decoded
  const fields: LeavingField[] = []
  for (const [name, { key, meaning }] of Object.entries(INFO_FIELDS)) {
    const value = info[name as keyof UpdateInfo]
    if (value !== undefined) fields.push({ field: key, meaning, value: String(value) })
  }
  if (decoded.kind !== 'lora') {
    const meaning = { full: 'change by training', ffa: 'trained factor', 'fed-sb': 'trained core' }[decoded.kind]
    for (const { name, shape, values } of decoded.tensors)
      fields.push({ field: `${name}${ENDINGS[decoded.kind]}`, meaning, value: tensorText(shape, values) })
  }
  for (const layer of decoded.kind === 'lora' ? decoded.layers : []) {
    const { name, rank, in: inputs, out, a, b } = layer
    fields.push({ field: `${name}.lora_A`, meaning: 'trained factor', value: tensorText([rank, inputs], a) })
    fields.push({ field: `${name}.lora_B`, meaning: 'trained factor', value: tensorText([out, rank], b) })
  }
  fields.push({ field: 'signature', meaning: 'who vouches for it', value: 'none: updates are not signed yet' })
  const result: Inspection = { kind: 'update', path, fields, notes: [UPDATE_NOTE] }
  if (plan === undefined) return result
  // Round and start are the update's own here: which round runs is known to the server, not to a plan.
  result.notes.push('Round and start were taken from the update itself; aggregate also checks them against the others.')
  try {
    checkUpdate(plan, parseUpdate(bytes, plan, path), { round: info.round, startSha256: info.startSha256 })
    if (info.round > plan.rounds) {
      throw new OneroundError(
        'REFUSED',
        `The update of client '${info.client}' breaks the rule 'round': round ${info.round}; must be at most ${plan.rounds}.`,
        { fix: 'Give only updates of this plan.' },
      )
    }
    return { ...result, accepted: true }
  } catch (error) {
    if (!(error instanceof OneroundError)) throw error
    return { ...result, accepted: false, refusal: error }
  }
}

/** @param bytes views of the file, of any alignment */
function tensorText(shape: readonly number[], bytes: Uint8Array): string {
  return `F32 [${shape.join(', ')}], norm ${norm(new Float32Array(Uint8Array.from(bytes).buffer)).toPrecision(4)}`
}

async function inspectJson(path: string): Promise<Inspection> {
  if ([PEFT_SEAL, DENSE_FILES[0]].includes(basename(path))) return inspectAdapter(join(path, '..'))
  const json = jsonOf(await readText(path, LIMITS.planBytes), path, 'Give a plan or a receipt that oneround wrote.')
  if (typeof json === 'object' && json !== null && 'receipt' in json) {
    return {
      kind: 'receipt',
      path,
      fields: flatten(parseReceipt(json, path), 'kept at the client'),
      notes: ['A receipt names data files; it stays at the client.'],
    }
  }
  if (typeof json === 'object' && json !== null && ('train' in json || 'base' in json))
    return inspectPlan(parsePlan(json, path), path)
  throw new OneroundError('MALFORMED', `${path} is neither a plan nor a receipt.`, {
    found: Array.isArray(json) ? 'a list' : `keys ${Object.keys(Object(json)).slice(0, 5).join(', ') || 'none'}`,
    expected: 'a plan, with "base" and "train", or a receipt',
    fix: 'Give a file that oneround wrote; valuations and diagnoses are told by oneround report RUN.',
  })
}

function inspectPlan(plan: Plan, path: string): Inspection {
  const fields = [
    { field: 'sha256', meaning: "the plan's hash, as it stands in updates", value: planSha256(plan) },
    ...flatten(plan, 'agreed'),
  ]
  return { kind: 'plan', path, fields, notes: plan.aggregate.method === 'stack' ? [STACK_NOTE] : [] }
}

async function inspectAdapter(path: string): Promise<Inspection> {
  const adapter = await loadAdapter(path)
  const { method } = adapter.origin
  const fields: LeavingField[] = [
    {
      field: 'digest',
      meaning: 'digest of factors, scales and dense deltas; a next round names it as its start',
      value: adapterSha256(adapter),
    },
  ]
  if (method !== undefined) fields.push({ field: 'method', meaning: 'how updates became this adapter', value: method })
  const { base } = adapter.origin
  if (base !== undefined) fields.push({ field: 'base', meaning: 'the model that it belongs to', value: base })
  fields.push(...adapter.layers.map(layerField))
  for (const { name, shape, values } of adapter.dense) {
    const value = `F32 [${shape.join(', ')}], norm ${norm(values).toPrecision(4)}`
    fields.push({ field: name, meaning: 'dense delta of this tensor', value })
  }
  return { kind: 'adapter', path, fields, notes: method === 'stack' ? [STACK_NOTE] : [] }
}

async function inspectRun(path: string): Promise<Inspection> {
  const run = await readRun(path)
  const plan = parsePlan(run.plan, join(path, 'plan.json'))
  const { events, torn } = await readMetrics(run.metricsFile)
  const fields: LeavingField[] = [
    { field: 'plan', meaning: "the plan's hash", value: planSha256(plan) },
    { field: 'metrics.jsonl', meaning: 'events', value: String(events.length) },
    ...Object.entries(run.state.files).map(([field, file]) => ({
      field,
      meaning: 'finished file',
      value: `${file.bytes} bytes, SHA-256 ${file.sha256}`,
    })),
    ...Object.keys(run.state.results).map((field) => ({ field, meaning: 'finished result', value: 'present' })),
    ...flatten(run.environment ?? {}, 'environment'),
  ]
  return {
    kind: 'run',
    path,
    fields,
    notes: torn ? ['The last line of metrics.jsonl is torn: the run was stopped while it wrote.'] : [],
  }
}

/** Leaves of a JSON value with their dotted paths. */
function flatten(value: unknown, meaning: string, path = ''): LeavingField[] {
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, field]) =>
      flatten(field, meaning, path === '' ? key : `${path}.${key}`),
    )
  }
  return [{ field: path, meaning, value: String(value) }]
}
