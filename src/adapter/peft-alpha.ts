/**
 * PEFT stores alpha, we hold the scale. Reading divides alpha by r (or sqrt(r)), which rounds; so writing looks for an
 * alpha that gives the very same scale back, and prefers the short decimal that a person once wrote.
 */
import type { Layer } from './adapter.js'
import { scaleOf } from './peft-config.js'

interface Alphas {
  rsLora: boolean
  /** one a layer, in order */
  alphas: number[]
}

/** An alpha for each layer whose scale comes back bit by bit, or is nearest where no double does that. */
export function alphasOf(layers: readonly Layer[]): Alphas {
  const plain = layers.map((layer) => shortAlpha(layer, false))
  if (plain.every(isNumber)) return { rsLora: false, alphas: plain }
  const root = layers.map((layer) => shortAlpha(layer, true))
  if (root.every(isNumber)) return { rsLora: true, alphas: root }
  for (const rsLora of [false, true]) {
    const exact = layers.map((layer) => exactAlpha(layer, rsLora))
    if (exact.every(isNumber)) return { rsLora, alphas: exact }
  }
  // Scales that no single rule gives back (they come from no plan): off by one unit in the last place of a double.
  return { rsLora: false, alphas: layers.map((layer) => layer.scale * layer.rank) }
}

function isNumber(value: number | undefined): value is number {
  return value !== undefined
}

function product(layer: Layer, rsLora: boolean): number {
  return layer.scale * (rsLora ? Math.sqrt(layer.rank) : layer.rank)
}

function shortAlpha(layer: Layer, rsLora: boolean): number | undefined {
  const alpha = Number(product(layer, rsLora).toPrecision(12))
  return scaleOf(alpha, layer.rank, rsLora) === layer.scale ? alpha : undefined
}

function exactAlpha(layer: Layer, rsLora: boolean): number | undefined {
  const near = product(layer, rsLora)
  const unit = Math.abs(near) * 2 ** -53
  for (const steps of [0, 1, -1, 2, -2, 3, -3, 4, -4]) {
    const alpha = near + steps * unit
    if (scaleOf(alpha, layer.rank, rsLora) === layer.scale) return alpha
  }
  return undefined
}
