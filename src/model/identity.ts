import { createHash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { OneroundError } from '../errors.js'
import { fileError, readInto } from '../text/bounded-file.js'
import { digestParts } from '../text/digest.js'
import type { ModelSpec } from './spec.js'
import { storageBytes } from './storage.js'

export interface ModelIdentity {
  /** covers weights, tokenizer and the numbers of the decoder; what a plan and its clients must share */
  id: string
  /** of the weights: sorted (name, type, shape, bytes), so resharding changes nothing; types and row order are the file's */
  sha256: string
  tokenizerSha256: string
}

/** One read, and so one stretch of work on the event loop: about a millisecond of hashing. */
const SLICE = 1 << 20
/** weights' digests of this process, by the paths, sizes and times of their files */
const known = new Map<string, Promise<string>>()

export async function identityOf(spec: ModelSpec, tokenizerSha256: string): Promise<ModelIdentity> {
  const sha256 = await weightsDigest(spec)
  return {
    id: digestParts([
      ['weights', sha256],
      ['tokenizer', tokenizerSha256],
      ['decoder', numbersOf(spec)],
    ]),
    sha256,
    tokenizerSha256,
  }
}

/**
 * Two bases with the same weights and another rope or epsilon are two models. Single precision is compared, because
 * a GGUF file and a config.json print the same epsilon with different digits.
 */
function numbersOf({ architecture, shape }: ModelSpec): string {
  const { heads, kvHeads, headDim, normEpsilon, tied, inverseFrequencies, window } = shape
  const frequencies = [...inverseFrequencies].map(Math.fround)
  const numbers = [architecture, heads, kvHeads, headDim, Math.fround(normEpsilon), tied, frequencies, window]
  return JSON.stringify(numbers)
}

async function weightsDigest(spec: ModelSpec): Promise<string> {
  const key = await cacheKey(spec.files)
  let digest = known.get(key)
  if (digest === undefined) {
    digest = hashWeights(spec)
    known.set(key, digest)
    digest.catch(() => known.delete(key)) // a failed read may succeed next time
  }
  return digest
}

async function cacheKey(files: readonly string[]): Promise<string> {
  const parts = await Promise.all(
    files.map(async (file) => {
      try {
        const { size, mtimeMs, ino } = await stat(file)
        return [file, size, mtimeMs, ino]
      } catch (cause) {
        throw fileError(file, cause)
      }
    }),
  )
  return JSON.stringify(parts)
}

async function hashWeights(spec: ModelSpec): Promise<string> {
  const hash = createHash('sha256')
  const handles: Awaited<ReturnType<typeof open>>[] = []
  const buffer = Buffer.alloc(SLICE)
  try {
    for (const file of spec.files) handles.push(await open(file, 'r'))
    const sorted = [...spec.tensors].sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const { name, file, offset, type, shape, interleavedHeads, transposed } of sorted) {
      const handle = handles[file]
      if (handle === undefined) throw new RangeError(`tensor ${name} lies in file ${file} of ${handles.length}`)
      const bytes = storageBytes(type, shape)
      const order = interleavedHeads === 0 ? (transposed ? '/transposed' : '') : `/interleaved${interleavedHeads}`
      hash.update(`${name}:${type}${order}:${shape.join(',')}:${bytes}\n`)
      for (let done = 0; done < bytes; done += SLICE) {
        const slice = buffer.subarray(0, Math.min(SLICE, bytes - done))
        await readInto(handle, slice, offset + done, spec.files[file] ?? '')
        hash.update(slice)
      }
    }
    return hash.digest('hex')
  } catch (cause) {
    throw cause instanceof OneroundError ? cause : fileError(spec.files.join(', '), cause)
  } finally {
    for (const handle of handles) await handle.close()
  }
}
