/**
 * Every architecture of shared/golden/tiny: texts that go on from others have the bits of the texts laid out whole, and
 * texts that grow side by side have the logits of one pass.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadPeft } from '../../src/adapter/peft.js'
import { toBatch } from '../../src/data/batches.js'
import { type Example, UNTRAINED } from '../../src/data/dataset.js'
import { nextPass, rowsOf, treeBatch } from '../../src/evaluate/prefix-tree.js'
import { openModel } from '../../src/model/open.js'
import type { Batch } from '../../src/native/binding/batch.js'
import { native } from '../../src/native/load.js'
import { flatten, loraSlots, overlayOf } from '../../src/train/slots.js'
import { relativeError } from './compare.js'
import { sharedFile, skipReason } from './shared-files.js'

const cases = [
  ...['llama', 'llama_tied_bf16', 'llama3_rope', 'llama_rslora_q_v'],
  ...['mistral_sliding', 'qwen2', 'qwen3', 'gpt2'],
]

/** Two questions after the same ten tokens, with three and two choices, and a text that shares nothing. */
function examplesOf(tokens: readonly number[]): Example[] {
  const part = (first: number, count: number) =>
    Array.from({ length: count }, (_, i) => tokens[(first + i) % tokens.length]!)
  const shots = part(0, 10)
  const first = [...shots, ...part(11, 9)]
  const second = [...shots, ...part(23, 10)]
  const texts = [
    { prompt: first, choice: part(3, 4) },
    { prompt: first, choice: part(5, 1) },
    { prompt: first, choice: part(8, 7) },
    { prompt: second, choice: part(2, 2) },
    { prompt: second, choice: part(6, 5) },
    { prompt: part(30, 3), choice: part(1, 12) },
  ]
  return texts.map(({ prompt, choice }, id) => {
    const ids = Int32Array.from([...prompt, ...choice])
    const labels = Int32Array.from(ids, (_, at) => (at + 1 < prompt.length ? UNTRAINED : (ids[at + 1] ?? UNTRAINED)))
    return { ids, labels, id, characters: 0 }
  })
}

const reason = skipReason('golden/tiny')
describe.skipIf(reason !== undefined).each(cases)('golden tiny %s as a tree', (name) => {
  const folder = join(sharedFile('golden/tiny') ?? '', name)
  const shape = { rowsPerPass: 160, longestExample: 32, training: false }

  it.each(['the base', 'an overlay', 'trained factors'])('gives the bits of whole texts with %s', async (what) => {
    await using base = await openModel(join(folder, 'model'))
    const adapter = await loadPeft(join(folder, 'adapter'))
    const known = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { input_ids: number[][] }
    const examples = examplesOf(known.input_ids.flat())
    const { nodes, end } = nextPass(examples, 0, shape.rowsPerPass)
    expect(end).toBe(examples.length)
    // the solved examples and the two questions are there once
    expect(nodes.filter(({ example }) => example === undefined)).toHaveLength(3)
    expect(rowsOf(nodes)).toBeLessThan(examples.reduce((sum, { ids }) => sum + ids.length, 0) * 0.6)
    const evaluate = async (batch: Batch, threads: number) => {
      const slots = what === 'trained factors' ? loraSlots(adapter.layers, 0) : []
      const overlay = what === 'an overlay' ? overlayOf(adapter) : []
      const session = new (native().Session)(base.weights, { ...shape, slots, overlay, threads })
      try {
        if (slots.length > 0) session.setParameters(flatten(adapter.layers))
        return await session.evaluate(batch)
      } finally {
        session.close()
      }
    }
    const apart = await evaluate(toBatch(examples), 1)
    for (const threads of [1, 3]) {
      const together = await evaluate(treeBatch(nodes), threads)
      for (const [at, { example }] of nodes.entries()) {
        expect(together.losses[at]).toBe(example === undefined ? 0 : apart.losses[example])
        expect(together.tokens[at]).toBe(example === undefined ? 0 : apart.tokens[example])
      }
    }
  })

  it('grows texts side by side: each has its own bits, and the logits of a pass over the whole text', async () => {
    await using base = await openModel(join(folder, 'model'))
    const adapter = await loadPeft(join(folder, 'adapter'))
    const tokens = (JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { input_ids: number[][] }).input_ids
    const texts = [tokens.flat().slice(0, 9), tokens.flat().slice(4, 20), tokens.flat().slice(12, 17)]
    const grown = 8
    const size = { rowsPerPass: 96, longestExample: 32, training: false, slots: [], overlay: overlayOf(adapter) }
    const open = (more: object) => new (native().Session)(base.weights, { ...size, threads: 2, ...more })
    /** all logits of the texts that grow together, [text][step] */
    const together = async (which: readonly number[]) => {
      const session = open({ cache: 32, sequences: 3 })
      try {
        const made = new Map<number, Float32Array[]>()
        for (const at of which) made.set(at, [await session.prefill(Int32Array.from(texts[at]!), at)])
        for (let step = 0; step < grown; step++) {
          const ids = Int32Array.from(which, (at) => tokens.flat()[at + 3 * step]!)
          const logits = await session.nextEach(ids, Int32Array.from(which))
          const width = logits.length / which.length
          for (const [i, at] of which.entries()) made.get(at)!.push(logits.slice(i * width, (i + 1) * width))
        }
        return made
      } finally {
        session.close()
      }
    }
    const all = await together([2, 0, 1])
    for (const at of [0, 1, 2]) {
      expect((await together([at])).get(at)).toEqual(all.get(at))
      const whole = [...texts[at]!, ...Array.from({ length: grown }, (_, step) => tokens.flat()[at + 3 * step]!)]
      const session = open({})
      const ids = Int32Array.from(whole)
      const labels = new Int32Array(ids.length).fill(UNTRAINED)
      const pass = await session.logits({
        ...{ ids, labels },
        lengths: Int32Array.of(ids.length),
        dropoutCounters: new Uint32Array(1),
      })
      session.close()
      const width = pass.length / ids.length
      for (const [step, logits] of all.get(at)!.entries()) {
        const row = texts[at]!.length - 1 + step
        expect(relativeError(logits, pass.subarray(row * width, (row + 1) * width))).toBeLessThan(1e-5)
      }
    }
  })
})
