/** Reads llama.cpp's LoRA adapter. Names and row order are the base's, so the base's spec is needed. */
import { open } from 'node:fs/promises'
import { OneroundError } from '../errors.js'
import { type GgufFile, type GgufTensor, readGguf } from '../model/gguf.js'
import type { ModelSpec } from '../model/spec.js'
import { readExactly } from '../text/bounded-file.js'
import { type Adapter, type AdapterLayer, makeAdapter } from './adapter.js'
import { ggufNames, reorderRows } from './gguf-names.js'
import { joinPair, type Pair } from './pairs.js'
import { METHOD_KEY } from './peft-save.js'

const FORM = { names: ['lora_a', 'lora_b'], transposed: false } as const
const ALPHA = 'adapter.lora.alpha'

/** Whether a GGUF file says that it is an adapter. */
export function isGgufAdapter({ metadata }: Pick<GgufFile, 'metadata'>): boolean {
  return metadata.get('general.type') === 'adapter'
}

/** @throws OneroundError MALFORMED, MISMATCH (another base), UNSUPPORTED */
export async function loadGgufAdapter(file: string, spec: ModelSpec): Promise<Adapter> {
  const gguf = await readGguf(file)
  const { architecture, layers: places } = ggufNames(spec)
  expectText(gguf, 'general.type', 'adapter', file)
  expectText(gguf, 'adapter.type', 'lora', file)
  expectText(gguf, 'general.architecture', architecture, file)
  const alpha = alphaOf(gguf, file)
  const known = new Map(places.map((place) => [place.tensor, place]))
  const layers: AdapterLayer[] = []
  for (const [tensor, pair] of await readPairs(gguf, file)) {
    const place = known.get(tensor)
    if (place === undefined) {
      throw mismatch(`${file}: the base has no linear layer '${tensor}'.`, tensor, places[0]?.tensor ?? 'none')
    }
    const layer = joinPair(tensor, pair, FORM, file)
    if (layer.in !== place.in || layer.out !== place.out) {
      const sizes = (of: { in: number; out: number }) => `in ${of.in}, out ${of.out}`
      throw mismatch(`${file}: '${tensor}' has another size than in the base.`, sizes(layer), sizes(place))
    }
    const scale = alpha === 0 ? 1 : alpha / layer.rank
    layers.push({ ...layer, name: place.name, scale, b: reorderRows(layer.b, layer.out, place.heads, 'huggingface') })
  }
  if (layers.length === 0) throw malformed(`${file} holds no layer.`, 'no lora_a', 'lora_a and lora_b tensors')
  const order = new Map(places.map((place, index) => [place.name, index]))
  layers.sort((left, right) => (order.get(left.name) ?? 0) - (order.get(right.name) ?? 0))
  const text = (key: string): string | undefined => {
    const value = gguf.metadata.get(key)
    return typeof value === 'string' ? value : undefined
  }
  return makeAdapter(layers, [], { base: text('general.base_model.0.name'), method: text(METHOD_KEY) })
}

/** Zero means that factors are not scaled at all; absent, llama.cpp takes zero, which is hardly what was trained. */
function alphaOf({ metadata }: GgufFile, file: string): number {
  const alpha = metadata.get(ALPHA)
  if (typeof alpha === 'number' && Number.isFinite(alpha)) return alpha
  throw malformed(
    `${file} does not say how its factors are scaled.`,
    alpha === undefined ? `no ${ALPHA}` : `${ALPHA} ${String(alpha)}`,
    `${ALPHA}, a finite number (0: factors are not scaled)`,
  )
}

function expectText({ metadata }: GgufFile, key: string, expected: string, file: string): void {
  const found = metadata.get(key)
  if (found === expected) return
  const what = `${file}: ${key} is not that of an adapter of this base.`
  throw mismatch(what, found === undefined ? `no ${key}` : String(found).slice(0, 80), expected)
}

/** Every tensor of the file, by the base's tensor. Norms beside the factors are refused: they would be lost. */
export async function readPairs({ tensors }: GgufFile, file: string): Promise<Map<string, Pair>> {
  const pairs = new Map<string, Pair>()
  const handle = await open(file, 'r')
  try {
    for (const tensor of tensors) {
      const [, name, half] = /^(.+)\.lora_([ab])$/.exec(tensor.name) ?? []
      if (name === undefined || half === undefined) {
        throw new OneroundError('UNSUPPORTED', `${file} holds a tensor that is no LoRA factor: '${tensor.name}'.`, {
          found: tensor.name,
          expected: 'TENSOR.lora_a and TENSOR.lora_b',
          fix: 'Use an adapter of factors only.',
        })
      }
      const { type: dtype, shape } = tensor
      const data = Uint8Array.from(await readExactly(handle, tensor.offset, tensor.bytes, file))
      pairs.set(name, { ...pairs.get(name), [half]: { dtype, shape: pairShape(tensor, shape), data } })
    }
  } finally {
    await handle.close()
  }
  return pairs
}

/** A factor of rank 1 may come with one axis less. */
function pairShape({ name }: GgufTensor, shape: readonly number[]): number[] {
  if (shape.length !== 1) return [...shape]
  return name.endsWith('.lora_a') ? [1, ...shape] : [...shape, 1]
}

function malformed(message: string, found: string, expected: string): OneroundError {
  return new OneroundError('MALFORMED', message, { found, expected, fix: 'Convert the adapter again.' })
}

function mismatch(message: string, found: string, expected: string): OneroundError {
  return new OneroundError('MISMATCH', message, {
    found,
    expected,
    fix: 'Give the base that the adapter was trained on.',
  })
}
