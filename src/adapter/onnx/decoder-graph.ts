/**
 * A decoder as an ONNX graph, in plain operations of opset 17. Inputs and outputs have the names that Optimum and
 * transformers.js use for a decoder with a cache:
 *   input_ids [batch, sequence], attention_mask [batch, total], position_ids [batch, sequence], all int64;
 *   past_key_values.N.key and .value [batch, kv heads, past, head dim]; total = past + sequence
 *   -> logits [batch, sequence, vocabulary]; present.N.key and .value [batch, kv heads, total, head dim]
 * and, for every layer whose adapter is kept apart, LAYER.lora_A [rank, in] and LAYER.lora_B [out, rank], the scale
 * multiplied into lora_B. Activations are [batch * sequence, features] everywhere but in attention.
 */
import { modulePath } from '../../model/modules.js'
import type { DecoderShape } from '../../native/binding/decoder.js'
import { attention, attentionShapes } from './attention-graph.js'
import { GraphBuilder, type StoredWeight } from './graph-builder.js'
import type { Graph } from './messages.js'

export interface DecoderGraphOptions {
  shape: DecoderShape
  /** rows of the rotary tables */
  maxPositions: number
  /** layers whose factors are inputs */
  adapted: ReadonlySet<string>
  /** name of the file that holds the weights */
  location: string
  metadata: Readonly<Record<string, string>>
}

const loraInputs = (layer: string): { a: string; b: string } => ({ a: `${layer}.lora_A`, b: `${layer}.lora_B` })

export function decoderGraph(o: DecoderGraphOptions): { graph: Graph; weights: StoredWeight[] } {
  const g = new GraphBuilder()
  const { shape } = o
  const ids = g.input('input_ids', 'int64', ['batch', 'sequence'])
  const shapes = attentionShapes(g, o, ids)
  const embedding = g.weight(`${modulePath(shape, 'embedding')}.weight`, [shape.vocabulary, shape.hidden])
  let x = g.node('Reshape', [g.node('Gather', [embedding, ids]), g.integers([-1, shape.hidden])])
  if (shape.learnedPositions > 0) {
    const table = g.weight(`${modulePath(shape, 'positions')}.weight`, [shape.learnedPositions, shape.hidden])
    const rows = g.node('Gather', [table, shapes.positionIds])
    x = g.node('Add', [x, g.node('Reshape', [rows, g.integers([-1, shape.hidden])])])
  }
  const linear = linearOf(g, o)
  for (let layer = 0; layer < shape.layers; layer++) {
    const normed = norm(g, shape, x, modulePath(shape, 'attentionNorm', layer), shape.hidden)
    x = g.node('Add', [x, attention({ g, shape, shapes, layer, linear, norm }, normed)])
    const fed = norm(g, shape, x, modulePath(shape, 'feedNorm', layer), shape.hidden)
    x = g.node('Add', [x, feedForward(g, shape, layer, linear, fed)])
  }
  const final = norm(g, shape, x, modulePath(shape, 'finalNorm'), shape.hidden)
  const head = shape.tied
    ? embedding
    : g.weight(`${modulePath(shape, 'head')}.weight`, [shape.vocabulary, shape.hidden])
  const rows = g.node('Gemm', [final, head], { transB: 1 })
  const logits = g.node('Reshape', [rows, g.node('Concat', [shapes.batchSequence, g.integers([-1])], { axis: 0 })])
  g.output(logits, 'logits', 'float', ['batch', 'sequence', shape.vocabulary])
  for (const { key, value, layer } of shapes.present) {
    const dims = ['batch', shape.kvHeads, 'total', shape.headDim]
    g.output(key, `present.${layer}.key`, 'float', dims)
    g.output(value, `present.${layer}.value`, 'float', dims)
  }
  return g.finish('decoder', o.location, o.metadata)
}

/** y [rows, out] of x [rows, in] */
export type Linear = (x: string, layer: string, from: number, out: number, bias: boolean) => string

/** y = x W' + bias, and where the adapter is kept apart + (x A') (scale B)'. */
function linearOf(g: GraphBuilder, { adapted }: DecoderGraphOptions): Linear {
  return (x, layer, from, out, bias) => {
    const weights = [g.weight(`${layer}.weight`, [out, from])]
    if (bias) weights.push(g.weight(`${layer}.bias`, [out]))
    const y = g.node('Gemm', [x, ...weights], { transB: 1 })
    if (!adapted.has(layer)) return y
    const { a, b } = loraInputs(layer)
    const rank = `rank of ${layer}`
    const inner = g.node('Gemm', [x, g.input(a, 'float', [rank, from])], { transB: 1 })
    return g.node('Gemm', [inner, g.input(b, 'float', [out, rank]), y], { transB: 1 })
  }
}

/** down(gelu(up(x))), or down(silu(gate(x)) * up(x)) */
function feedForward(g: GraphBuilder, shape: DecoderShape, layer: number, linear: Linear, x: string): string {
  const { hidden, intermediate, otherBias } = shape
  const wide = (part: 'gate' | 'up') => linear(x, modulePath(shape, part, layer), hidden, intermediate, otherBias)
  const inner = shape.gelu ? gelu(g, wide('up')) : g.node('Mul', [silu(g, wide('gate')), wide('up')])
  return linear(inner, modulePath(shape, 'down', layer), intermediate, hidden, otherBias)
}

export type NormOf = typeof norm

/** RMSNorm, x / sqrt(mean(x^2) + epsilon) * weight, or LayerNorm; over the last axis of `size`. */
function norm(g: GraphBuilder, shape: DecoderShape, x: string, module: string, size: number): string {
  const weight = g.weight(`${module}.weight`, [size])
  if (shape.layerNorm) {
    const bias = g.weight(`${module}.bias`, [size])
    return g.node('LayerNormalization', [x, weight, bias], { axis: -1, epsilon: { float: shape.normEpsilon } })
  }
  return rmsNorm(g, shape, x, weight)
}

function rmsNorm(g: GraphBuilder, shape: DecoderShape, x: string, weight: string): string {
  const mean = g.node('ReduceMean', [g.node('Mul', [x, x])], { axes: [-1], keepdims: 1 })
  const root = g.node('Sqrt', [g.node('Add', [mean, g.float(shape.normEpsilon)])])
  return g.node('Mul', [g.node('Div', [x, root]), weight])
}

function silu(g: GraphBuilder, x: string): string {
  return g.node('Mul', [x, g.node('Sigmoid', [x])])
}

/** tanh form, as GPT-2 has it: x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
function gelu(g: GraphBuilder, x: string): string {
  const cube = g.node('Mul', [g.node('Mul', [x, x]), x])
  const sum = g.node('Add', [x, g.node('Mul', [cube, g.float(0.044715)])])
  const tanh = g.node('Tanh', [g.node('Mul', [sum, g.float(Math.sqrt(2 / Math.PI))])])
  return g.node('Mul', [g.node('Mul', [x, g.float(0.5)]), g.node('Add', [tanh, g.float(1)])])
}
