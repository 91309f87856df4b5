/**
 * Texts that begin alike, laid out so that what they share is computed once: the choices of a question after their
 * prompt, the questions of a subject after the same solved examples.
 */
import { type Example, UNTRAINED } from '../data/dataset.js'
import type { Batch } from '../native/binding/batch.js'
import { type PassShape, passShape } from '../train/budget.js'

/** A run of rows. The rows of all nodes above it and its own are the beginning of a text. */
export interface TextNode {
  ids: Int32Array
  labels: Int32Array
  /** place of the node it goes on from, -1: none */
  parent: number
  /** place of the example that ends here; undefined: several go on from here */
  example: number | undefined
}

/** Fewer rows are cheaper to compute again than to keep apart. */
const fewestShared = 8
/** What the engine allows above a node. */
const mostAbove = 16

/**
 * The examples [first, end) as a tree. Only neighbours share rows, and only rows on which no loss is taken; rows after an
 * example's last label are left out, since nothing depends on them. An example without a label is left out.
 */
export function prefixTree(examples: readonly Example[], first: number, end: number): TextNode[] {
  const nodes: TextNode[] = []
  const texts = Array.from({ length: end - first }, (_, i) => i + first).filter((i) => usedRows(examples[i]) > 0)
  const common = texts.map((at, i) => (i === 0 ? 0 : commonRows(examples[texts[i - 1] as number], examples[at])))
  // texts[from..to) agree in their first `depth` rows, which the nodes above hold
  const grow = (from: number, to: number, depth: number, parent: number, above: number): void => {
    for (let start = from; start < to; ) {
      let stop = start + 1
      let shared = Number.POSITIVE_INFINITY
      while (stop < to && above < mostAbove && (common[stop] as number) - depth >= fewestShared) {
        shared = Math.min(shared, common[stop] as number)
        stop++
      }
      const index = texts[start] as number
      const alone = stop === start + 1
      const { ids, labels } = examples[index] as Example
      const last = alone ? usedRows(examples[index]) : shared
      nodes.push({
        ids: ids.subarray(depth, last),
        labels: labels.subarray(depth, last),
        parent,
        example: alone ? index : undefined,
      })
      if (!alone) grow(start, stop, last, nodes.length - 1, above + 1)
      start = stop
    }
  }
  grow(0, texts.length, 0, -1, 0)
  return nodes
}

/** Rows up to the last label. */
function usedRows(example: Example | undefined): number {
  return (example?.labels.findLastIndex((label) => label !== UNTRAINED) ?? -1) + 1
}

/** Rows at the beginning of both that have the same token and no label. */
function commonRows(a: Example | undefined, b: Example | undefined): number {
  if (a === undefined || b === undefined) return 0
  const most = Math.min(a.ids.length, b.ids.length)
  let at = 0
  while (at < most && a.ids[at] === b.ids[at] && a.labels[at] === UNTRAINED && b.labels[at] === UNTRAINED) at++
  return at
}

export function rowsOf(nodes: readonly TextNode[]): number {
  return nodes.reduce((sum, { ids }) => sum + ids.length, 0)
}

export function treeBatch(nodes: readonly TextNode[]): Batch {
  const rows = rowsOf(nodes)
  const batch = {
    ids: new Int32Array(rows),
    labels: new Int32Array(rows),
    lengths: Int32Array.from(nodes, ({ ids }) => ids.length),
    parents: Int32Array.from(nodes, ({ parent }) => parent),
    dropoutCounters: new Uint32Array(nodes.length),
  }
  let at = 0
  for (const { ids, labels } of nodes) {
    batch.ids.set(ids, at)
    batch.labels.set(labels, at)
    at += ids.length
  }
  return batch
}

/** Where a beginning is shared, a pass is several times its length, or else every pass would compute it anew. */
const sharedPerPass = 8
const mostRows = 4096

/** A layout for scoring: that of training, or more rows where there is something to share. */
export function treeShape(examples: readonly Example[], perPass: number): PassShape {
  const { longestExample, rowsPerPass } = passShape(examples, perPass)
  let shared = 0
  for (let i = 1; i < examples.length; i++) shared = Math.max(shared, commonRows(examples[i - 1], examples[i]))
  return { longestExample, rowsPerPass: Math.max(rowsPerPass, Math.min(mostRows, sharedPerPass * shared)) }
}

/** A stretch of examples that one pass computes. */
interface TreePass {
  nodes: TextNode[]
  /** one after the last example */
  end: number
}

/** The longest stretch from `first` on whose tree fits; at least one example, which fits by itself. */
export function nextPass(examples: readonly Example[], first: number, rowsPerPass: number): TreePass {
  // What an example adds is its length without what it has in common with the one before; a little less is shared.
  let rows = usedRows(examples[first])
  let end = first + 1
  while (end < examples.length) {
    rows += usedRows(examples[end]) - Math.max(0, commonRows(examples[end - 1], examples[end]) - fewestShared + 1)
    if (rows > rowsPerPass) break
    end++
  }
  let nodes = prefixTree(examples, first, end)
  while (rowsOf(nodes) > rowsPerPass && end > first + 1) {
    end = first + Math.max(1, Math.floor((end - first) * 0.75))
    nodes = prefixTree(examples, first, end)
  }
  return { nodes, end }
}
