/** Texts that begin alike as a tree: nothing is lost, and only rows without a label are shared. */
import { describe, expect, it } from 'vitest'
import { type Example, UNTRAINED } from '../../../src/data/dataset.js'
import { nextPass, prefixTree, rowsOf, type TextNode, treeBatch, treeShape } from '../../../src/evaluate/prefix-tree.js'

/** A text of tokens whose last `own` are judged. */
function text(tokens: readonly number[], own: number): Example {
  const ids = Int32Array.from(tokens)
  const labels = new Int32Array(ids.length).fill(UNTRAINED)
  for (let at = ids.length - own; at < ids.length; at++) labels[at - 1] = ids[at]!
  return { ids, labels, id: 0, characters: 0 }
}

const run = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i)

/** Ids and labels from a root down to a node. */
function whole(nodes: readonly TextNode[], at: number): { ids: number[]; labels: number[] } {
  const node = nodes[at]!
  const above = node.parent < 0 ? { ids: [], labels: [] } : whole(nodes, node.parent)
  return { ids: [...above.ids, ...node.ids], labels: [...above.labels, ...node.labels] }
}

/** Every example is one leaf's way; what is cut off stands behind its last label. */
function expectAll(examples: readonly Example[], nodes: readonly TextNode[], first = 0): void {
  const leaves = nodes.flatMap(({ example }, at) => (example === undefined ? [] : [{ example, at }]))
  expect(leaves.map(({ example }) => example)).toEqual(run(first, leaves.length))
  for (const { example, at } of leaves) {
    const { ids, labels } = whole(nodes, at)
    const { ids: own, labels: ownLabels } = examples[example]!
    expect(ids).toEqual([...own.subarray(0, ids.length)])
    expect(labels).toEqual([...ownLabels.subarray(0, ids.length)])
    expect([...ownLabels.subarray(ids.length)].every((label) => label === UNTRAINED)).toBe(true)
    expect(labels.at(-1)).not.toBe(UNTRAINED)
  }
  for (const [at, { example, labels, parent }] of nodes.entries()) {
    expect(parent).toBeLessThan(at)
    if (example === undefined) expect([...labels].every((label) => label === UNTRAINED)).toBe(true)
  }
}

describe('prefixTree', () => {
  it('shares the prompt of a question among its choices, all but the row that the first token is judged on', () => {
    const prompt = run(100, 20)
    const examples = [
      text([...prompt, 1, 2], 2),
      text([...prompt, 3], 1),
      text([...prompt, 1, 4, 5], 3),
      text([...prompt, 1], 1),
    ]
    const nodes = prefixTree(examples, 0, 4)
    expectAll(examples, nodes)
    expect(nodes.map(({ ids, parent }) => [ids.length, parent])).toEqual([
      [19, -1],
      [2, 0],
      [1, 0],
      [3, 0],
      [1, 0],
    ])
  })

  it('shares solved examples among questions, and a question among its choices', () => {
    const shots = run(1000, 50)
    const examples = [0, 1, 2].flatMap((question) =>
      [1, 2].map((choice) => text([...shots, ...run(2000 + 100 * question, 12), choice], 1)),
    )
    const nodes = prefixTree(examples, 0, examples.length)
    expectAll(examples, nodes)
    expect(nodes.map(({ parent }) => parent)).toEqual([-1, 0, 1, 1, 0, 4, 4, 0, 7, 7])
    expect(rowsOf(nodes)).toBe(50 + 3 * (11 + 2))
    expect(treeShape(examples, 8).rowsPerPass).toBe(8 * 61)
  })

  it('leaves alone what is hardly alike, and texts that are judged from their first token', () => {
    const examples = [text([...run(1, 7), 50, 51], 1), text([...run(1, 7), 60, 61], 1)]
    expect(prefixTree(examples, 0, 2).map(({ parent }) => parent)).toEqual([-1, -1])
    const judged = [text(run(1, 30), 29), text(run(1, 30), 29)]
    expectAll(judged, prefixTree(judged, 0, 2))
    expect(rowsOf(prefixTree(judged, 0, 2))).toBe(2 * 29)
  })

  it('leaves out a text without a label', () => {
    const blank = text(run(1, 12), 0)
    expect(prefixTree([blank], 0, 1)).toEqual([])
    expect(prefixTree([blank, text(run(1, 12), 1), blank], 0, 3).map(({ example }) => example)).toEqual([1])
  })

  it('is never deeper than the engine allows', () => {
    // Each text has ten rows more in common with the next one.
    const examples = run(0, 40).map((i) => text([...run(1, 10 * i + 10), 5000 + i, 6000 + i], 1))
    const nodes = prefixTree(examples, 0, examples.length)
    expectAll(examples, nodes)
    const depth = (at: number): number => (nodes[at]!.parent < 0 ? 0 : 1 + depth(nodes[at]!.parent))
    expect(Math.max(...nodes.map((_, at) => depth(at)))).toBe(16)
    for (let first = 0, passes = 0; first < examples.length; passes++) {
      expect(passes).toBeLessThan(examples.length)
      const pass = nextPass(examples, first, 600)
      expectAll(examples, pass.nodes, first)
      expect(rowsOf(pass.nodes)).toBeLessThanOrEqual(600)
      first = pass.end
    }
  })

  it('fills passes with whole examples, and lays them out for the engine', () => {
    const examples = run(0, 30).map((i) => text([...run(7, 40), i, i + 1], 2))
    const { nodes, end } = nextPass(examples, 0, 64)
    expect(rowsOf(nodes)).toBeLessThanOrEqual(64)
    expect(end).toBeGreaterThan(2)
    const batch = treeBatch(nodes)
    expect([...batch.lengths].reduce((sum, count) => sum + count, 0)).toBe(batch.ids.length)
    expect([...batch.parents!]).toEqual([-1, ...nodes.slice(1).map(() => 0)])
    // one that is longer than the others still goes alone
    expect(nextPass([text(run(1, 64), 1), ...examples], 0, 64).end).toBe(1)
  })
})
