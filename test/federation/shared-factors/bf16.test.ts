/** ffa and fed-sb in bf16, over bases stored as f32 and as bf16, against the same training in f32. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toBatch } from '../../../src/data/batches.js'
import type { Dataset } from '../../../src/data/dataset.js'
import { loadExamples } from '../../../src/data/load.js'
import { type Model, openModel } from '../../../src/model/open.js'
import { readSafetensors, serializeSafetensors } from '../../../src/model/safetensors.js'
import { native } from '../../../src/native/load.js'
import { passShape } from '../../../src/train/budget.js'
import { sessionOptions } from '../../../src/train/prepare.js'
import { openSession } from '../../../src/train/session.js'
import { sharedParameters } from '../../../src/train/shared.js'
import { initialStart } from '../../../src/train/start.js'
import { train } from '../../../src/train/train.js'
import { toBfloat16 } from '../../../src/train/write-full.js'
import { createPlan } from '../../../src/update/create-plan.js'
import { writeTinyBase } from '../../cli/tiny-base.js'
import { relativeError } from '../../golden/compare.js'
import { rowsOf } from '../tiny.js'
import { kinds, optionsOf } from './shared-plans.js'

/** What LoRA's runs may differ from f32 in bf16 (test/golden/smollm2.test.ts): a gradient, and a loss of itself. */
const tolerance = { gradient: 0.06, loss: 2 ** -8 }

const folder = mkdtempSync(join(tmpdir(), 'oneround-'))
const bases: Record<string, Model> = {}
let data: Dataset
beforeAll(async () => {
  for (const stored of ['f32', 'bf16']) {
    const place = join(folder, stored)
    writeTinyBase(place)
    if (stored === 'bf16') await storeAsBfloat16(join(place, 'model.safetensors'))
    bases[stored] = await openModel(place)
  }
  const { tokenizer } = bases.f32!
  data = await loadExamples(rowsOf('north'), { template: 'text', cutoff: 64, lossOn: 'all', tokenizer })
})
afterAll(async () => {
  for (const base of Object.values(bases)) await base.close()
  rmSync(folder, { recursive: true })
})

async function storeAsBfloat16(file: string): Promise<void> {
  const { metadata, tensors } = await readSafetensors(file)
  const halves = [...tensors].map(([name, { shape, data: bytes }]) => {
    const words = toBfloat16(new Float32Array(bytes.buffer))
    return [name, { dtype: 'BF16', shape, data: new Uint8Array(words.buffer) }] as const
  })
  writeFileSync(file, serializeSafetensors(new Map(halves), metadata))
  expect(readFileSync(file).includes('BF16')).toBe(true)
}

const computes = ['f32', 'bf16'] as const
const cases = kinds.flatMap((kind) => ['f32', 'bf16'].map((stored) => [kind, stored] as const))

describe.skipIf(!native().cpu().bf16).each(cases)('%s in bf16 over a base stored as %s', (kind, stored) => {
  const planOf = (compute: (typeof computes)[number]) =>
    createPlan(bases[stored]!, { ...optionsOf(kind), dropout: 0, epochs: 4, compute, clients: ['north'] })

  it("has f32's first gradients within the tolerance of LoRA's", async () => {
    const gradients: Float32Array[] = []
    for (const compute of computes) {
      const plan = await planOf(compute)
      const batch = toBatch(data.examples)
      const options = sessionOptions(plan, [], passShape(data.examples, data.count), 2)
      const session = openSession(bases[stored]!, options)
      session.setParameters(sharedParameters(plan, initialStart(plan).trained))
      gradients.push((await session.gradient(batch, 0)).gradient)
      session.close()
    }
    const [f32, bf16] = gradients as [Float32Array, Float32Array]
    expect(bf16).not.toEqual(f32)
    let at = 0
    for (const { out, rank } of (await planOf('f32')).layers) {
      const count = kind === 'ffa' ? out * rank : rank * rank
      const part = (values: Float32Array) => values.subarray(at, at + count)
      expect(relativeError(part(bf16), part(f32))).toBeLessThan(tolerance.gradient)
      at += count
    }
    expect(at).toBe(f32.length)
  })

  it('trains: every loss follows f32, and falls', async () => {
    const losses: Record<string, number[]> = {}
    for (const compute of computes) {
      const own: number[] = []
      const onStep = ({ loss }: { loss: number }) => void own.push(loss)
      await train(bases[stored]!, data, await planOf(compute), { client: 'north', threads: 2, onStep })
      losses[compute] = own
    }
    const { f32, bf16 } = losses as Record<(typeof computes)[number], number[]>
    expect(bf16.length).toBeGreaterThan(7)
    expect(bf16).not.toEqual(f32)
    for (const [i, loss] of bf16.entries()) expect(Math.abs(loss - f32[i]!)).toBeLessThan(tolerance.loss * f32[i]!)
    expect(bf16.at(-1)).toBeLessThan(bf16[0]! * 0.98)
  })
})
