import { type Adapter, type AdapterLayer, type Layer, makeAdapter } from '../adapter/adapter.js'
import type { OverlayLayer } from '../native/binding/overlay.js'
import type { Slot } from '../native/binding/slots.js'
import { decayTable } from '../update/layers.js'
import type { FactorTrainable, Plan } from '../update/plan.js'
import { sharedFactors } from '../update/shared-factors.js'

/** What trains under a plan, in its order; weight decay where its patterns say so. */
export function planSlots(plan: Plan): Slot[] {
  const decayOf = decayTable(plan)
  return kindSlots(plan).map((slot) => {
    const weightDecay = decayOf(slot.kind === 'dense' ? slot.tensor : slot.layer)
    return weightDecay === undefined ? slot : { ...slot, weightDecay }
  })
}

function kindSlots(plan: Plan): Slot[] {
  const { trainable } = plan.train
  switch (trainable.kind) {
    case 'full':
      return denseSlots(trainable.tensors)
    case 'lora':
      return loraSlots(plan.layers, trainable.dropout)
    default:
      return sharedSlots(plan, trainable)
  }
}

/** Slots of which a part is frozen: the plan's shared factors, the same arrays for every client. */
function sharedSlots(plan: Plan, { kind, dropout }: Extract<FactorTrainable, { kind: 'ffa' | 'fed-sb' }>): Slot[] {
  return sharedFactors(plan).map(({ name, rank, scale, a, b }) => {
    const common = { layer: name, rank, scale, dropout, a }
    return kind === 'ffa' ? { kind: 'lora_B', ...common } : { kind: 'core', ...common, b }
  })
}

/** One slot for each whole tensor. */
export function denseSlots(tensors: readonly { name: string }[]): Slot[] {
  return tensors.map(({ name }) => ({ kind: 'dense', tensor: name }))
}

/** The trainable slots of a plan's layers, in the plan's order. */
export function loraSlots(layers: readonly Layer[], dropout: number): Slot[] {
  return layers.map((layer) => ({ kind: 'lora', layer: layer.name, rank: layer.rank, scale: layer.scale, dropout }))
}

/** Factors -> the flat buffer of a session with `loraSlots`. */
export function flatten(layers: readonly AdapterLayer[]): Float32Array {
  return joined(layers.flatMap(({ a, b }) => [a, b]))
}

/** Parts -> one buffer, one behind the other. */
export function joined(parts: readonly Float32Array[]): Float32Array {
  const flat = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    flat.set(part, at)
    at += part.length
  }
  return flat
}

/** The flat buffer -> an adapter that owns its numbers. */
export function unflatten(layers: readonly Layer[], flat: Float32Array): Adapter {
  let at = 0
  const take = (count: number) => {
    at += count
    return flat.slice(at - count, at)
  }
  return makeAdapter(
    layers.map((layer) => {
      const a = take(layer.rank * layer.in)
      const b = take(layer.out * layer.rank)
      return { name: layer.name, in: layer.in, out: layer.out, rank: layer.rank, scale: layer.scale, a, b }
    }),
  )
}

/** An adapter's factors as something that is added to a frozen base: the scale goes into B. */
export function overlayOf(adapter: Adapter): OverlayLayer[] {
  return adapter.layers
    .filter((layer) => layer.rank > 0)
    .map((layer) => ({
      layer: layer.name,
      rank: layer.rank,
      a: layer.a,
      b: layer.scale === 1 ? layer.b : layer.b.map((value) => value * layer.scale),
    }))
}
