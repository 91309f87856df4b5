/**
 * A small file of flat f32 vectors: SCAFFOLD's control variates on their way to the server, and what a client keeps for
 * itself. A safetensors file with a closed list of labels.
 */
import { OneroundError } from '../errors.js'
import { parseSafetensors, type SafetensorsTensor, serializeSafetensors } from '../model/safetensors.js'
import { bytesOf } from '../update/digest.js'

/** Whose vectors, and of what: all labels must be equal when they are read again. */
export type VectorLabels = Readonly<Record<string, string>>

/** The bytes; the same vectors give the same bytes. */
export function encodeVectors(labels: VectorLabels, vectors: Readonly<Record<string, Float32Array>>): Uint8Array {
  const tensors = new Map<string, SafetensorsTensor>()
  for (const [name, values] of Object.entries(vectors))
    tensors.set(name, { dtype: 'F32', shape: [values.length], data: bytesOf(values) })
  return serializeSafetensors(tensors, { ...labels })
}

/**
 * The vectors of these names, each of as many finite numbers as `counts` says.
 * @throws OneroundError MALFORMED (other tensors, another size, NaN), MISMATCH (another label)
 */
export function decodeVectors<Name extends string>(
  bytes: Uint8Array,
  labels: VectorLabels,
  counts: Readonly<Record<Name, number>>,
): Record<Name, Float32Array> {
  const source = `The vectors of ${labels.client ?? 'the server'}`
  const names = Object.keys(counts) as Name[]
  const most = names.reduce((sum, name) => sum + counts[name] * 4, HEADER_BYTES)
  if (bytes.length > most) throw malformed(source, `${bytes.length} bytes`, `at most ${most}`)
  const { metadata, tensors } = parseSafetensors(bytes, source)
  for (const key of new Set([...Object.keys(labels), ...Object.keys(metadata)])) {
    const found = Object.hasOwn(metadata, key) ? metadata[key] : undefined
    if (found === labels[key]) continue
    throw new OneroundError('MISMATCH', `${source} belong to another ${key.slice(0, 80)}.`, {
      found: (found ?? 'none').slice(0, 200),
      expected: labels[key] ?? 'no such label',
      fix: 'Give the file of this round and plan.',
    })
  }
  if (tensors.size !== names.length) throw malformed(source, `${tensors.size} tensors`, names.join(', '))
  const read = (name: Name): Float32Array => {
    const tensor = tensors.get(name)
    const count = counts[name]
    if (tensor?.dtype !== 'F32' || tensor.data.byteLength !== count * 4)
      throw malformed(source, tensor ? `${tensor.dtype} [${tensor.shape}] as ${name}` : `no ${name}`, `F32 [${count}]`)
    const values = new Float32Array(tensor.data.buffer, tensor.data.byteOffset, count)
    if (!values.every(Number.isFinite)) throw malformed(source, `NaN or infinity in ${name}`, 'finite numbers')
    return values
  }
  return Object.fromEntries(names.map((name) => [name, read(name)])) as Record<Name, Float32Array>
}

/** Room for labels and shapes; real headers are below a kilobyte. */
const HEADER_BYTES = 1 << 16

function malformed(source: string, found: string, expected: string): OneroundError {
  return new OneroundError('MALFORMED', `${source} are not sound: ${found}.`, {
    found,
    expected,
    fix: 'Give the file as it was written.',
  })
}
