import { DTYPE_BYTES, HEADER_LIMIT, LENGTH_BYTES, malformedSafetensors } from './safetensors-header.js'

interface SafetensorsLayout {
  /** length and header, up to the first tensor */
  header: Uint8Array
  /** where each tensor's bytes begin in the file, in their order */
  offsets: ReadonlyMap<string, number>
  /** of the whole file */
  bytes: number
}

/**
 * Where everything lies in a safetensors file, before any tensor is there. The same tensors and metadata give the same
 * layout, in whatever order they are passed: names and metadata keys are sorted by code unit, and the header is padded
 * with spaces to a multiple of 8.
 */
export function layOutSafetensors(
  tensors: ReadonlyMap<string, { dtype: string; shape: readonly number[] }>,
  metadata: Readonly<Record<string, string>>,
): SafetensorsLayout {
  const header: [string, unknown][] = []
  const keys = Object.keys(metadata).sort()
  if (keys.length > 0) header.push(['__metadata__', Object.fromEntries(keys.map((key) => [key, metadata[key]]))])
  const begins = new Map<string, number>()
  let end = 0
  for (const [name, { dtype, shape }] of [...tensors].sort(([left], [right]) => (left < right ? -1 : 1))) {
    begins.set(name, end)
    const begin = end
    end += shape.reduce((product, n) => product * n, DTYPE_BYTES.get(dtype) ?? Number.NaN)
    header.push([name, { dtype, shape, data_offsets: [begin, end] }])
  }
  // entries are written one by one because an object would move keys that look like integers to the front
  const json = `{${header.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`
  const text = new TextEncoder().encode(json)
  const length = Math.ceil(text.length / 8) * 8
  if (length > HEADER_LIMIT) throw malformedSafetensors('the result', `a header of ${length} bytes`, `${HEADER_LIMIT}`)
  const bytes = new Uint8Array(LENGTH_BYTES + length)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true)
  bytes.set(text, LENGTH_BYTES)
  bytes.fill(0x20, LENGTH_BYTES + text.length)
  const offsets = new Map([...begins].map(([name, begin]) => [name, bytes.length + begin]))
  return { header: bytes, offsets, bytes: bytes.length + end }
}
