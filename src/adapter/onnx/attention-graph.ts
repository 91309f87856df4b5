/** Causal attention over a cache, in plain operations. B batch, S sequence, P past, T = P + S, H heads, K kv heads, D head dim. */
import { modulePath } from '../../model/modules.js'
import type { DecoderShape } from '../../native/binding/decoder.js'
import type { DecoderGraphOptions, Linear, NormOf } from './decoder-graph.js'
import type { GraphBuilder } from './graph-builder.js'

/** What all blocks share. */
interface AttentionShapes {
  positionIds: string
  /** [B, S] as a tensor of two integers */
  batchSequence: string
  /** [B, S, H, D] and [B, S, K, D] */
  queryShape: string
  keyShape: string
  /** cosines and sines of each row's position, [B, 1, S, D/2]; undefined with learned positions */
  rotary: { cos: string; sin: string } | undefined
  /** 0 where a query sees a key, else the lowest f32, [B, 1, 1, S, T] */
  mask: string
  /** filled block by block */
  present: { layer: number; key: string; value: string }[]
}

const LOWEST = -3.4028234663852886e38

export function attentionShapes(g: GraphBuilder, o: DecoderGraphOptions, ids: string): AttentionShapes {
  const { shape } = o
  const attentionMask = g.input('attention_mask', 'int64', ['batch', 'total'])
  const positionIds = g.input('position_ids', 'int64', ['batch', 'sequence'])
  const batchSequence = g.node('Shape', [ids])
  const heads = (count: number) => g.node('Concat', [batchSequence, g.integers([count, shape.headDim])], { axis: 0 })
  return {
    positionIds,
    batchSequence,
    queryShape: heads(shape.heads),
    keyShape: heads(shape.kvHeads),
    rotary: shape.learnedPositions > 0 ? undefined : rotaryTables(g, o, positionIds),
    mask: causalMask(g, shape.window, attentionMask, batchSequence),
    present: [],
  }
}

/** cos and sin of position * inverse frequency, from tables in the graph: a product in f32 loses digits at far positions. */
function rotaryTables(
  g: GraphBuilder,
  { shape, maxPositions }: DecoderGraphOptions,
  positionIds: string,
): { cos: string; sin: string } {
  const half = shape.headDim / 2
  const table = (name: string, of: (angle: number) => number) => {
    const values = new Float32Array(maxPositions * half)
    for (let position = 0; position < maxPositions; position++)
      for (let i = 0; i < half; i++)
        values[position * half + i] = of(position * (shape.inverseFrequencies[i] as number))
    const rows = g.node('Gather', [g.table(name, values, [maxPositions, half]), positionIds])
    return g.node('Unsqueeze', [rows, g.integers([1])])
  }
  return { cos: table('rotary.cos', Math.cos), sin: table('rotary.sin', Math.sin) }
}

/** Query i of the sequence stands at P + i and sees keys up to its own, the last `window` of them, that the caller's mask allows. */
function causalMask(g: GraphBuilder, window: number, attentionMask: string, batchSequence: string): string {
  const total = g.node('Gather', [g.node('Shape', [attentionMask]), g.integer(1)])
  const sequence = g.node('Gather', [batchSequence, g.integer(1)])
  const keys = g.node('Range', [g.integer(0), total, g.integer(1)])
  const places = g.node('Range', [g.node('Sub', [total, sequence]), total, g.integer(1)])
  const queries = g.node('Unsqueeze', [places, g.integers([1])])
  let seen = g.node('LessOrEqual', [keys, queries])
  if (window > 0) {
    const near = g.node('Greater', [keys, g.node('Sub', [queries, g.integer(window)])])
    seen = g.node('And', [seen, near])
  }
  const allowed = g.node('Cast', [attentionMask], { to: 9 })
  const both = g.node('And', [seen, g.node('Unsqueeze', [allowed, g.integers([1, 2, 3])])])
  return g.node('Where', [both, g.float(0), g.float(LOWEST)])
}

interface AttentionBlock {
  g: GraphBuilder
  shape: DecoderShape
  shapes: AttentionShapes
  layer: number
  linear: Linear
  norm: NormOf
}

/** x [B S, hidden], normed -> [B S, hidden] */
export function attention(block: AttentionBlock, x: string): string {
  const { g, shape, shapes, layer, linear } = block
  const { heads, kvHeads, headDim, hidden } = shape
  const [q, k, v] = queryKeyValue(block, x) as [string, string, string]
  const past = ['batch', kvHeads, 'past', headDim]
  const join = (name: string, rows: string) =>
    g.node('Concat', [g.input(`past_key_values.${layer}.${name}`, 'float', past), rows], { axis: 2 })
  const query = positioned(block, q, shapes.queryShape, 'qNorm')
  const key = join('key', positioned(block, k, shapes.keyShape, 'kNorm'))
  const value = join('value', g.node('Transpose', [g.node('Reshape', [v, shapes.keyShape])], { perm: [0, 2, 1, 3] }))
  shapes.present.push({ layer, key, value })

  // The queries of one key-value head lie one after another, so keys and values need not be repeated.
  const batch = g.node('Slice', [shapes.batchSequence, g.integers([0]), g.integers([1])])
  const sequence = g.node('Slice', [shapes.batchSequence, g.integers([1]), g.integers([2])])
  const toShape = (...parts: string[]) => g.node('Concat', parts, { axis: 0 })
  const grouped = g.node('Reshape', [query, toShape(batch, g.integers([kvHeads, -1, headDim]))])
  const scaled = g.node('Mul', [grouped, g.float(1 / Math.sqrt(headDim))])
  const scores = g.node('MatMul', [scaled, g.node('Transpose', [key], { perm: [0, 1, 3, 2] })])
  const groups = toShape(batch, g.integers([kvHeads, heads / kvHeads]), sequence, g.integers([-1]))
  const masked = g.node('Add', [g.node('Reshape', [scores, groups]), shapes.mask])
  const weights = g.node('Softmax', [masked], { axis: -1 })
  const flat = g.node('Reshape', [weights, g.node('Shape', [scores])])
  const mixed = g.node('MatMul', [flat, value])
  const apart = g.node('Reshape', [mixed, toShape(batch, g.integers([heads]), sequence, g.integers([headDim]))])
  const rows = g.node('Transpose', [apart], { perm: [0, 2, 1, 3] })
  const joined = g.node('Reshape', [rows, g.integers([-1, heads * headDim])])
  return linear(joined, modulePath(shape, 'o', layer), heads * headDim, hidden, shape.otherBias)
}

function queryKeyValue({ g, shape, layer, linear }: AttentionBlock, x: string): string[] {
  const { heads, kvHeads, headDim, hidden, qkvBias, fusedAttention } = shape
  const query = heads * headDim
  const key = kvHeads * headDim
  const made = (part: 'fused' | 'q' | 'k' | 'v', out: number) =>
    linear(x, modulePath(shape, part, layer), hidden, out, qkvBias)
  if (fusedAttention) return g.split(made('fused', query + 2 * key), 1, [query, key, key])
  return [made('q', query), made('k', key), made('v', key)]
}

/** Queries or keys [B S, heads D] -> [B, heads, S, D], normed over D where the model does so, and turned to their places. */
function positioned(
  { g, shape, shapes, layer, norm }: AttentionBlock,
  rows: string,
  to: string,
  part: 'qNorm' | 'kNorm',
) {
  const apart = g.node('Reshape', [rows, to])
  const normed = shape.queryKeyNorm ? norm(g, shape, apart, modulePath(shape, part, layer), shape.headDim) : apart
  return rotate(g, shape, shapes, g.node('Transpose', [normed], { perm: [0, 2, 1, 3] }))
}

/** Pairs (i, i + D/2) of [B, heads, S, D] turned by their row's angle. */
function rotate(g: GraphBuilder, { headDim }: DecoderShape, { rotary }: AttentionShapes, x: string): string {
  if (rotary === undefined) return x
  const { cos, sin } = rotary
  const [first, second] = g.split(x, 3, [headDim / 2, headDim / 2]) as [string, string]
  const left = g.node('Sub', [g.node('Mul', [first, cos]), g.node('Mul', [second, sin])])
  const right = g.node('Add', [g.node('Mul', [second, cos]), g.node('Mul', [first, sin])])
  return g.node('Concat', [left, right], { axis: 3 })
}
