import { open } from 'node:fs/promises'
import { OneroundError } from '../errors.js'
import { fileError, readExactly } from '../text/bounded-file.js'
import type { GgufTensor } from './gguf.js'
import type { RopeScaling } from './rope.js'
import type { Settings } from './settings.js'

export const ROPE_FACTORS = 'rope_freqs.weight'

/** Rope scaling of GGUF metadata; `architecture` is the prefix of its keys. */
export function ropeScaling(settings: Settings, architecture: string): RopeScaling {
  const rope = `${architecture}.rope`
  const key = `${rope}.scaling.type`
  const older = settings.raw(`${rope}.scale_linear`)
  const kind = settings.text(key, older === undefined ? 'none' : 'linear')
  if (kind === 'none') return { kind: 'default' }
  if (kind !== 'linear') throw settings.unsupported(key, kind, 'none, linear', 'Use a base model with one of these.')
  return {
    kind: 'linear',
    factor: settings.positive(older === undefined ? `${rope}.scaling.factor` : `${rope}.scale_linear`),
  }
}

/** Llama 3.1's stretching comes as one divisor a frequency. Divides `frequencies` in place. */
export async function applyRopeFactors(frequencies: Float64Array, tensor: GgufTensor, file: string): Promise<void> {
  const factors = await readRopeFactors(tensor, frequencies.length, file)
  for (const [i, factor] of factors.entries()) frequencies[i] = (frequencies[i] ?? 0) / factor
}

/** The divisors, `count` of them, each above zero. */
export async function readRopeFactors(tensor: GgufTensor, count: number, file: string): Promise<Float32Array> {
  if (tensor.type !== 'F32' || tensor.shape.length !== 1 || tensor.shape[0] !== count) {
    throw badFactors(file, `${tensor.type} [${tensor.shape}]`, `F32 [${count}]`)
  }
  let handle: Awaited<ReturnType<typeof open>> | undefined
  try {
    handle = await open(file, 'r')
    const bytes = await readExactly(handle, tensor.offset, tensor.bytes, file)
    const factors = new Float32Array(count)
    for (let i = 0; i < count; i++) {
      const factor = bytes.readFloatLE(4 * i)
      if (!Number.isFinite(factor) || factor <= 0) throw badFactors(file, String(factor), 'a number above zero')
      factors[i] = factor
    }
    return factors
  } catch (cause) {
    throw cause instanceof OneroundError ? cause : fileError(file, cause)
  } finally {
    await handle?.close()
  }
}

function badFactors(file: string, found: string, expected: string): OneroundError {
  const fix = 'Download or convert the model again.'
  return new OneroundError('MALFORMED', `${file}: ${ROPE_FACTORS} is not usable`, { found, expected, fix })
}
