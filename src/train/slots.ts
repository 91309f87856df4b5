import { type Adapter, type AdapterLayer, type Layer, makeAdapter } from '../adapter/adapter.js'
import type { OverlayLayer, Slot } from '../native/binding.js'
import { decayTable } from '../update/layers.js'
import type { Plan } from '../update/plan.js'

/** What trains under a plan, in its order; weight decay where its patterns say so. */
export function planSlots(plan: Plan): Slot[] {
  const { trainable } = plan.train
  const decayOf = decayTable(plan)
  const slots = trainable.kind === 'full' ? denseSlots(trainable.tensors) : loraSlots(plan.layers, trainable.dropout)
  return slots.map((slot) => {
    const weightDecay = decayOf(slot.kind === 'dense' ? slot.tensor : slot.layer)
    return weightDecay === undefined ? slot : { ...slot, weightDecay }
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

/** Numbers in the flat buffer: for each layer A [rank, in], then B [out, rank]. */
export function parameterCount(layers: readonly Layer[]): number {
  return layers.reduce((sum, layer) => sum + layer.rank * (layer.in + layer.out), 0)
}

/** Factors -> the flat buffer of a session with `loraSlots`. */
export function flatten(layers: readonly AdapterLayer[]): Float32Array {
  const flat = new Float32Array(parameterCount(layers))
  let at = 0
  for (const layer of layers) {
    flat.set(layer.a, at)
    at += layer.a.length
    flat.set(layer.b, at)
    at += layer.b.length
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
