import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { z } from 'zod'
import { OneroundError } from '../errors.js'
import { readSafetensors, type SafetensorsTensor, serializeSafetensors } from '../model/safetensors.js'
import { writeAtomic } from '../run/atomic.js'
import { checkJson, jsonOf } from '../update/checked-json.js'
import type { EvaluationRecord, EvaluationState } from './evaluations.js'
import type { TrainingSession } from './session.js'

/** Before each key of the identity among the file's metadata. */
const IDENTITY = 'identity.'

/**
 * What says whose checkpoint this is: plan hash, client, round, hash of the start, digest of the data and of what the
 * client kept of its last round. All of it must be equal before a run goes on from one.
 */
export type CheckpointIdentity = Record<string, string>

export interface CheckpointState {
  parameters: Float32Array
  /** AdamW's moments */
  first: Float32Array
  second: Float32Array
  /** optimizer steps that AdamW has counted */
  optimizerSteps: number
  /** steps of the loop that are done */
  stepsDone: number
  /** numbers that must survive, e.g. the loss before training */
  numbers: Record<string, number>
  /** looks at the held-out part, and the parameters of the best one */
  evaluations?: EvaluationState | undefined
}

const tensorNames = ['parameters', 'first', 'second'] as const
const kind = 'oneround-checkpoint-1'

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

/** Writes parameters, moments and counters beside `file` and renames: a kill leaves the old checkpoint or the new one. */
export async function saveCheckpoint(
  file: string,
  identity: CheckpointIdentity,
  state: CheckpointState,
): Promise<void> {
  const tensors = new Map<string, SafetensorsTensor>()
  for (const name of tensorNames) {
    tensors.set(name, { dtype: 'F32', shape: [state[name].length], data: bytesOf(state[name]) })
  }
  const { best, records } = state.evaluations ?? { best: undefined, records: [] }
  if (best !== undefined) tensors.set('best', { dtype: 'F32', shape: [best.length], data: bytesOf(best) })
  const metadata: Record<string, string> = {
    kind,
    optimizerSteps: String(state.optimizerSteps),
    stepsDone: String(state.stepsDone),
  }
  for (const [key, value] of Object.entries(identity)) metadata[IDENTITY + key] = value
  for (const [key, value] of Object.entries(state.numbers)) metadata[`number.${key}`] = String(value)
  if (records.length > 0) metadata.evaluations = JSON.stringify(records)
  await writeAtomic(file, serializeSafetensors(tensors, metadata))
}

/** The state of a session after `stepsDone` steps of the loop. */
export function captureState(
  session: TrainingSession,
  stepsDone: number,
  numbers: Record<string, number>,
  evaluations?: EvaluationState,
): CheckpointState {
  const { first, second, steps } = session.optimizerState()
  return { parameters: session.parameters(), first, second, optimizerSteps: steps, stepsDone, numbers, evaluations }
}

/** Puts a state into a session; a run that goes on from it is bit-equal with one that never stopped. */
export function restoreState(session: TrainingSession, state: CheckpointState): void {
  session.setParameters(state.parameters)
  session.setOptimizerState({ first: state.first, second: state.second, steps: state.optimizerSteps })
}

/** Reads a checkpoint. Absent: undefined. Of another plan, client, round, start or data: MISMATCH. */
export async function readCheckpoint(
  file: string,
  identity: CheckpointIdentity,
  count: number,
): Promise<CheckpointState | undefined> {
  if (!existsSync(file)) return undefined
  const { metadata, tensors } = await readSafetensors(file)
  const fix = `Remove ${file} to start from the beginning.`
  if (metadata.kind !== kind) {
    throw new OneroundError('MALFORMED', `${file} is not a checkpoint.`, {
      found: metadata.kind ?? 'no kind',
      expected: kind,
      fix,
    })
  }
  const known = Object.keys(metadata).flatMap((key) => (key.startsWith(IDENTITY) ? [key.slice(IDENTITY.length)] : []))
  for (const key of new Set([...Object.keys(identity), ...known])) {
    const [found, expected] = [metadata[IDENTITY + key], identity[key]]
    if (found === expected) continue
    throw new OneroundError('MISMATCH', `The checkpoint ${file} belongs to another ${key}.`, {
      found: found ?? 'none',
      expected: expected ?? 'none',
      fix,
    })
  }
  const read = (name: string): Float32Array => {
    const tensor = tensors.get(name)
    if (tensor?.dtype !== 'F32' || tensor.data.byteLength !== count * 4) {
      throw new OneroundError('MALFORMED', `The checkpoint ${file} does not hold ${name}.`, {
        found: tensor ? `${tensor.dtype} [${tensor.shape.join(', ')}]` : 'no such tensor',
        expected: `F32 [${count}]`,
        fix,
      })
    }
    return new Float32Array(tensor.data.slice().buffer)
  }
  const integer = (key: string): number => {
    const value = Number(metadata[key])
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new OneroundError('MALFORMED', `The checkpoint ${file} has no valid ${key}.`, {
        found: metadata[key] ?? 'none',
        expected: 'a count',
        fix,
      })
    }
    return value
  }
  const numbers: Record<string, number> = {}
  for (const [key, value] of Object.entries(metadata)) {
    if (key.startsWith('number.')) numbers[key.slice('number.'.length)] = Number(value)
  }
  return {
    parameters: read('parameters'),
    first: read('first'),
    second: read('second'),
    optimizerSteps: integer('optimizerSteps'),
    stepsDone: integer('stepsDone'),
    numbers,
    evaluations: {
      records: recordsOf(metadata.evaluations, file, fix),
      best: tensors.has('best') ? read('best') : undefined,
    },
  }
}

const recordSchema = z.array(z.strictObject({ step: z.number().int().min(1), loss: z.number(), best: z.boolean() }))

function recordsOf(text: string | undefined, file: string, fix: string): EvaluationRecord[] {
  if (text === undefined) return []
  const source = `The checkpoint ${file}, evaluations`
  return checkJson(recordSchema, jsonOf(text, source, fix), source, fix)
}

/** Removes a checkpoint whose result is safe. */
export async function dropCheckpoint(file: string): Promise<void> {
  await rm(file, { force: true })
}
