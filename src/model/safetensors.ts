import { open } from 'node:fs/promises'
import { OneroundError } from '../errors.js'
import { fileError, type ReadableHandle, readExactly, readInto } from '../text/bounded-file.js'
import {
  DTYPE_BYTES,
  headerLength,
  LENGTH_BYTES,
  malformedSafetensors,
  parseHeader,
  type SafetensorsHeader,
} from './safetensors-header.js'
import { layOutSafetensors } from './safetensors-layout.js'

export type { SafetensorsEntry, SafetensorsHeader } from './safetensors-header.js'

export interface SafetensorsTensor {
  dtype: string
  shape: number[]
  /** the tensor's bytes, row-major, little-endian; its own buffer, so any typed array may be laid over it */
  data: Uint8Array
}

interface SafetensorsContent {
  metadata: Record<string, string>
  tensors: Map<string, SafetensorsTensor>
}

/** Reads and checks the header; no tensor is read. */
export async function readSafetensorsHeader(file: string): Promise<SafetensorsHeader> {
  return withFile(file, (handle, fileBytes) => headerOf(handle, fileBytes, file))
}

/** Reads a whole file of moderate size (adapters, updates). Base weights are mapped by the engine instead. */
export async function readSafetensors(file: string): Promise<SafetensorsContent> {
  return withFile(file, async (handle, fileBytes) => {
    const { metadata, tensors: entries } = await headerOf(handle, fileBytes, file)
    const tensors = new Map<string, SafetensorsTensor>()
    for (const { name, dtype, shape, offset, bytes } of entries) {
      const data = new Uint8Array(bytes)
      await readInto(handle, data, offset, file)
      tensors.set(name, { dtype, shape, data })
    }
    return { metadata, tensors }
  })
}

/** The same from bytes in memory. `source` names them in errors. */
export function parseSafetensors(bytes: Uint8Array, source: string): SafetensorsContent {
  const length = headerLength(bytes, bytes.length, source)
  const header = parseHeader(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length), bytes.length, source)
  const tensors = new Map<string, SafetensorsTensor>()
  for (const entry of header.tensors) {
    const data = new Uint8Array(bytes.subarray(entry.offset, entry.offset + entry.bytes))
    tensors.set(entry.name, { dtype: entry.dtype, shape: entry.shape, data })
  }
  return { metadata: header.metadata, tensors }
}

/**
 * Bytes of a safetensors file. The same tensors and metadata give the same bytes, in whatever order they are passed:
 * names and metadata keys are sorted by code unit, and the header is padded with spaces to a multiple of 8.
 */
export function serializeSafetensors(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const described = new Map<string, { dtype: string; shape: number[] }>()
  for (const [name, tensor] of tensors) described.set(name, checkedTensor(name, tensor))
  const layout = layOutSafetensors(described, metadata)
  const bytes = new Uint8Array(layout.bytes)
  bytes.set(layout.header)
  for (const [name, offset] of layout.offsets) bytes.set(tensors.get(name)?.data ?? new Uint8Array(), offset)
  return bytes
}

function checkedTensor(name: string, tensor: SafetensorsTensor): SafetensorsTensor {
  const expected = tensor.shape.reduce((product, n) => product * n, DTYPE_BYTES.get(tensor.dtype) ?? Number.NaN)
  if (tensor.data.length !== expected || name === '' || name.startsWith('__')) {
    throw new OneroundError('ARGUMENT', `tensor ${JSON.stringify(name)} cannot be written`, {
      found: `${tensor.data.length} bytes of ${tensor.dtype} [${tensor.shape}]`,
      expected: 'a plain name, a known dtype and as many bytes as dtype and shape say',
      fix: 'Pass the bytes of exactly this tensor.',
    })
  }
  return tensor
}

async function headerOf(handle: ReadableHandle, fileBytes: number, file: string): Promise<SafetensorsHeader> {
  const prefix = await readExactly(handle, 0, Math.min(LENGTH_BYTES, fileBytes), file)
  const length = headerLength(prefix, fileBytes, file)
  return parseHeader(await readExactly(handle, LENGTH_BYTES, length, file), fileBytes, file)
}

/** Opens a plain file for `use` and closes it whatever happens; the system's errors become ours. */
async function withFile<T>(file: string, use: (handle: ReadableHandle, fileBytes: number) => Promise<T>): Promise<T> {
  let handle: Awaited<ReturnType<typeof open>> | undefined
  try {
    handle = await open(file, 'r')
    const stat = await handle.stat()
    if (!stat.isFile()) throw malformedSafetensors(file, 'something that is not a plain file', 'a file')
    return await use(handle, stat.size)
  } catch (cause) {
    throw cause instanceof OneroundError ? cause : fileError(file, cause)
  } finally {
    await handle?.close()
  }
}
