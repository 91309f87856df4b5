import { OneroundError } from '../errors.js'
import { checkDense, type DenseDelta } from './dense.js'
import { saveAdapter } from './folder-save.js'

/** One adapted linear layer: y += scale * B A x. `name` is Hugging Face's, without `.weight`. */
export interface Layer {
  name: string
  in: number
  out: number
  rank: number
  scale: number
}

/** A layer with its factors, row-major. */
export interface AdapterLayer extends Layer {
  /** [rank, in] */
  a: Float32Array
  /** [out, rank] */
  b: Float32Array
}

/**
 * What is added to a base: factors on linear layers, dense deltas on any tensor; where both are on one tensor, both
 * count. Nothing of it is shared with anybody: change neither the lists nor their numbers.
 */
export interface Adapter {
  readonly layers: readonly AdapterLayer[]
  readonly dense: readonly DenseDelta[]
  readonly origin: AdapterOrigin
  /** Writes a folder that `loadAdapter` reads: a PEFT folder where there are only factors. */
  save(folder: string): Promise<void>
}

/** What a saved adapter says of itself. */
export interface AdapterOrigin {
  /** id of the base model; a local path is cut to its last part */
  base?: string | undefined
  revision?: string | undefined
  /** the method that made it; `inspect` warns of `stack`, which holds every client's factors verbatim */
  method?: string | undefined
}

/**
 * An adapter from its layers and dense deltas; refuses numbers whose count is not what the sizes say. A rank of 0 is a
 * layer without effect.
 */
export function makeAdapter(
  layers: readonly AdapterLayer[],
  dense: readonly DenseDelta[] = [],
  origin: AdapterOrigin = {},
): Adapter {
  const names = new Set<string>()
  for (const layer of layers) {
    if (names.has(layer.name)) {
      throw new OneroundError('ARGUMENT', `Layer '${layer.name}' comes twice in one adapter.`, {
        fix: 'Give every layer once.',
      })
    }
    names.add(layer.name)
    checkLayer(layer)
  }
  checkDense(dense)
  return {
    layers: [...layers],
    dense: [...dense],
    origin: { ...origin },
    save(folder) {
      return saveAdapter(this, folder)
    },
  }
}

function checkLayer(layer: AdapterLayer): void {
  const sizes = [layer.in, layer.out, layer.rank]
  if (!sizes.every(Number.isSafeInteger) || layer.in < 1 || layer.out < 1 || layer.rank < 0) {
    throw new OneroundError('ARGUMENT', `Layer '${layer.name}' has no sensible size.`, {
      found: `in ${layer.in}, out ${layer.out}, rank ${layer.rank}`,
      expected: 'whole numbers: in and out at least 1, rank at least 0',
      fix: 'Take the sizes from the plan.',
    })
  }
  if (!Number.isFinite(layer.scale)) {
    throw new OneroundError('ARGUMENT', `The scale of layer '${layer.name}' is not finite.`, {
      found: String(layer.scale),
      fix: 'Take the scale from the plan.',
    })
  }
  if (layer.a.length !== layer.rank * layer.in || layer.b.length !== layer.out * layer.rank) {
    throw new OneroundError('ARGUMENT', `The factors of layer '${layer.name}' do not have its size.`, {
      found: `A of ${layer.a.length} numbers, B of ${layer.b.length}`,
      expected: `A [${layer.rank}, ${layer.in}], B [${layer.out}, ${layer.rank}]`,
      fix: 'Give A as [rank, in] and B as [out, rank], row-major.',
    })
  }
}
