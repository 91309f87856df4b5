/**
 * The start of a round after the first: the exact adapter of the rounds before, cut in two. Its best rank-r part
 * becomes the trainable factors, the rest a frozen overlay; their sum is the exact adapter, so nothing is lost and
 * ranks do not grow.
 */
import { OneroundError } from '../errors.js'
import type { OverlayLayer } from '../native/binding/overlay.js'
import { type Adapter, type AdapterLayer, type Layer, makeAdapter } from './adapter.js'
import { type DenseDelta, weightOfLayer } from './dense.js'
import { type InitA, initialAdapter } from './initial.js'
import { isConv1d } from './peft-save.js'

interface Carried {
  /** the plan's layers with the plan's scale; plan.scale * B A is the best rank-r part */
  trainable: Adapter
  /** what is left, scale folded in; layers with nothing left are absent */
  overlay: OverlayLayer[]
  /** the same for layers whose rest came as a whole matrix */
  dense: readonly DenseDelta[]
}

/**
 * `exact` is in the server's svd form: directions in descending order, B = U sqrt(S), A = sqrt(S) V'. A layer that is
 * absent has no effect yet. Where there are fewer directions than the plan's rank, the others start as in round 1
 * (A random by `init`, B zero): with both factors zero they could never move.
 */
export function splitCarried(
  exact: Adapter,
  planLayers: readonly Layer[],
  init: { seed: number; initA: InitA } = { seed: 0, initA: 'kaiming' },
): Carried {
  checkRests(exact, planLayers)
  const known = new Map(exact.layers.map((layer) => [layer.name, layer]))
  const names = new Set(planLayers.map((layer) => layer.name))
  const stranger = exact.layers.find((layer) => !names.has(layer.name))
  if (stranger !== undefined) {
    throw new OneroundError('MISMATCH', `The start holds layer '${stranger.name}', which the plan does not train.`, {
      fix: 'Start from the adapter of the round before, made with this plan.',
    })
  }
  const isShort = planLayers.some((layer) => (known.get(layer.name)?.rank ?? 0) < layer.rank)
  const fresh = isShort ? initialAdapter(planLayers, init.seed, init.initA).layers : []
  const overlay: OverlayLayer[] = []
  const trainable = planLayers.map((plan, index) => {
    const layer = known.get(plan.name)
    if (layer !== undefined && (layer.in !== plan.in || layer.out !== plan.out)) {
      throw new OneroundError('MISMATCH', `Layer '${plan.name}' of the start has another size than in the plan.`, {
        found: `in ${layer.in}, out ${layer.out}`,
        expected: `in ${plan.in}, out ${plan.out}`,
        fix: 'Start from the adapter of the round before, made with this plan.',
      })
    }
    const rest = layer === undefined ? undefined : restOf(layer, plan.rank)
    if (rest !== undefined) overlay.push(rest)
    return headOf(layer, plan, fresh[index])
  })
  return { trainable: makeAdapter(trainable), overlay, dense: exact.dense }
}

/** A layer's rest comes as factors or as a whole matrix of the layer's size, not as both. */
function checkRests(exact: Adapter, planLayers: readonly Layer[]): void {
  const layers = new Map(planLayers.map((layer) => [weightOfLayer(layer.name), layer]))
  const ranks = new Map(exact.layers.map((layer) => [weightOfLayer(layer.name), layer.rank]))
  for (const { name, shape } of exact.dense) {
    const layer = layers.get(name)
    const size = layer === undefined ? [] : isConv1d(layer.name) ? [layer.in, layer.out] : [layer.out, layer.in]
    const fits = shape.length === 2 && shape[0] === size[0] && shape[1] === size[1]
    if (layer !== undefined && fits && (ranks.get(name) ?? 0) <= layer.rank) continue
    throw new OneroundError('MISMATCH', `The start holds a dense delta that the plan has no place for: '${name}'.`, {
      found: `[${shape.join(', ')}] beside rank ${ranks.get(name) ?? 0}`,
      expected: layer === undefined ? 'layers of the plan' : `[${size.join(', ')}] beside at most rank ${layer.rank}`,
      fix: 'Start from the adapter of the round before, made with this plan.',
    })
  }
}

/** The first plan.rank directions, each factor times sqrt(layer.scale / plan.scale). */
function headOf(layer: AdapterLayer | undefined, plan: Layer, fresh: AdapterLayer | undefined): AdapterLayer {
  const { rank } = plan
  const kept = Math.min(rank, layer?.rank ?? 0)
  const a = new Float32Array(rank * plan.in)
  const b = new Float32Array(plan.out * rank)
  if (fresh !== undefined) a.set(fresh.a)
  if (layer !== undefined) {
    const ratio = layer.scale / plan.scale
    const factor = Math.sqrt(Math.abs(ratio))
    for (let i = 0; i < kept * plan.in; i++) a[i] = (layer.a[i] ?? 0) * factor
    for (let row = 0; row < plan.out; row++) {
      for (let k = 0; k < kept; k++)
        b[row * rank + k] = (layer.b[row * layer.rank + k] ?? 0) * factor * Math.sign(ratio)
    }
  }
  return { name: plan.name, in: plan.in, out: plan.out, rank, scale: plan.scale, a, b }
}

function restOf(layer: AdapterLayer, from: number): OverlayLayer | undefined {
  const rank = layer.rank - from
  if (rank <= 0) return undefined
  const b = new Float32Array(layer.out * rank)
  for (let row = 0; row < layer.out; row++) {
    for (let k = 0; k < rank; k++) b[row * rank + k] = (layer.b[row * layer.rank + from + k] ?? 0) * layer.scale
  }
  return { layer: layer.name, rank, a: layer.a.slice(from * layer.in), b }
}
