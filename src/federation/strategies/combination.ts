/** Weighted sums of adapters: the whole arithmetic of every strategy that is linear in the clients' updates. */
import { type Adapter, type AdapterLayer, makeAdapter } from '../../adapter/adapter.js'
import type { DenseDelta } from '../../adapter/dense.js'
import { type LayerJobs, overLayers } from '../../aggregate/layers.js'
import { svdLayer } from '../../aggregate/svd.js'
import { OneroundError } from '../../errors.js'

/** weight * adapter */
export interface Term {
  weight: number
  adapter: Adapter
}

/** What has no effect: the start of round 1. */
export const nothing: Adapter = makeAdapter([])

/**
 * sum_k weight_k adapter_k, exact to f32: factors stay factors (stacked, then cut at their numeric rank, so that ranks
 * end at min(in, out) however many rounds there are), dense deltas are added in double. A tensor that has both keeps
 * both. Layers come out as the server's svd form, which `splitCarried` takes.
 */
export async function combine(terms: readonly Term[], jobs: LayerJobs = {}): Promise<Adapter> {
  const used = terms.filter(({ weight }) => weight !== 0)
  const sums = [...byLayer(used)].map(([name, parts]) => {
    const [{ layer }] = parts as [Part, ...Part[]]
    const stranger = parts.find((part) => part.layer.in !== layer.in || part.layer.out !== layer.out)
    if (stranger !== undefined)
      throw misfit(name, `[${stranger.layer.out}, ${stranger.layer.in}]`, `[${layer.out}, ${layer.in}]`)
    return {
      name,
      in: layer.in,
      out: layer.out,
      rank: layer.rank,
      parts: parts.map((part, k) => ({ ...part.layer, client: `summand ${k + 1}`, weight: part.weight })),
      overlay: [],
    }
  })
  const outcomes = await overLayers(sums, svdLayer, { rank: Number.MAX_SAFE_INTEGER }, jobs)
  return makeAdapter(
    outcomes.map((outcome) => outcome.layer),
    combineDense(used),
    terms[0]?.adapter.origin,
  )
}

interface Part {
  layer: AdapterLayer
  weight: number
}

function byLayer(terms: readonly Term[]): Map<string, Part[]> {
  const layers = new Map<string, Part[]>()
  for (const { weight, adapter } of terms)
    for (const layer of adapter.layers) layers.set(layer.name, [...(layers.get(layer.name) ?? []), { layer, weight }])
  return layers
}

function combineDense(terms: readonly Term[]): DenseDelta[] {
  const sums = new Map<string, { shape: number[]; total: Float64Array }>()
  for (const { weight, adapter } of terms) {
    for (const { name, shape, values } of adapter.dense) {
      const sum = sums.get(name) ?? { shape, total: new Float64Array(values.length) }
      if (sum.shape.join() !== shape.join()) throw misfit(name, `[${shape.join(', ')}]`, `[${sum.shape.join(', ')}]`)
      sums.set(name, sum)
      for (let i = 0; i < values.length; i++) sum.total[i] = (sum.total[i] as number) + weight * (values[i] as number)
    }
  }
  return [...sums].map(([name, { shape, total }]) => ({ name, shape, values: Float32Array.from(total) }))
}

function misfit(name: string, found: string, expected: string): OneroundError {
  return new OneroundError('MISMATCH', `Two summands have '${name}' in different sizes.`, {
    found,
    expected,
    fix: 'Sum only adapters of one plan.',
  })
}
