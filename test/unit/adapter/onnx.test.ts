/** Graphs of the tiny golden models, run by onnxruntime, against what transformers, PEFT and the engine compute. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as ort from 'onnxruntime-node'
import { afterAll, describe, expect, it } from 'vitest'
import { type Adapter, makeAdapter } from '../../../src/adapter/adapter.js'
import { exportOnnx } from '../../../src/adapter/onnx/export.js'
import { loadPeft } from '../../../src/adapter/peft.js'
import { type Model, openModel } from '../../../src/model/open.js'
import { readSafetensors } from '../../../src/model/safetensors.js'
import { native } from '../../../src/native/load.js'
import { OnnxDecoder } from '../../../src/runtime/onnx-decoder.js'
import type { GraphLayer } from '../../../src/runtime/onnx-messages.js'
import { overlayOf } from '../../../src/train/slots.js'
import { batchOf, golden, relativeError } from '../../golden/compare.js'
import { sharedFile, skipReason } from '../../golden/shared-files.js'

const cases = [
  'llama',
  'llama_tied_bf16',
  'llama3_rope',
  'llama_rslora_q_v',
  'mistral_sliding',
  'qwen2',
  'qwen3',
  'gpt2',
]
const place = mkdtempSync(join(tmpdir(), 'oneround-onnx-'))
afterAll(() => rmSync(place, { recursive: true }))

/** Logits of the examples through the graph, in parts of `part` tokens over its cache. */
async function logitsOf(folder: string, examples: number[][], layers: GraphLayer[], part: number) {
  const session = await ort.InferenceSession.create(join(folder, 'model.onnx'))
  const decoder = new OnnxDecoder(ort, session)
  const logits: number[] = []
  for (const ids of examples) {
    decoder.begin(layers)
    for (let first = 0; first < ids.length; first += part)
      await decoder.take(Int32Array.from(ids.slice(first, first + part)), (_, row) => logits.push(...row))
  }
  await session.release()
  return Float32Array.from(logits)
}

async function engineLogits(base: Model, examples: number[][], adapter: Adapter | undefined): Promise<Float32Array> {
  const overlay = adapter === undefined ? [] : overlayOf(adapter)
  const sizes = { threads: 2, rowsPerPass: 64, longestExample: 32 }
  const session = new (native().Session)(base.weights, { ...sizes, slots: [], overlay, training: false })
  const logits = await session.logits(batchOf(examples, examples))
  session.close()
  return logits
}

const inputsOf = (adapter: Adapter): GraphLayer[] =>
  adapter.layers.map(({ name: layer, rank, scale, a, b }) => ({ layer, rank, a, b: b.map((value) => value * scale) }))

describe.skipIf(skipReason('golden/tiny') !== undefined).each(cases)('ONNX of golden tiny %s', (name) => {
  const folder = join(sharedFile('golden/tiny') ?? '', name)
  const read = async () => ({
    adapter: await loadPeft(join(folder, 'adapter')),
    examples: (JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { input_ids: number[][] }).input_ids,
  })

  it('merged: gives the golden logits and those of the engine', async () => {
    await using base = await openModel(join(folder, 'model'))
    const { adapter, examples } = await read()
    const out = join(place, name, 'merged')
    expect((await exportOnnx(base, out, { adapter })).adapted).toEqual([])
    const found = await logitsOf(out, examples, [], 64)
    expect(relativeError(found, await engineLogits(base, examples, adapter))).toBeLessThan(1e-5)
    const { tensors } = await readSafetensors(join(folder, 'tensors.safetensors'))
    // the reference of this case rounded its rotary frequencies to bf16; test/golden/tiny.test.ts says more
    const bar = name === 'llama_tied_bf16' ? 2e-3 : 1e-4
    expect(relativeError(found, golden(tensors, 'logits'))).toBeLessThan(bar)
  })

  it('apart: serves the adapter and the base alone from one graph, whole or token by token', async () => {
    await using base = await openModel(join(folder, 'model'))
    const { adapter, examples } = await read()
    const out = join(place, name, 'apart')
    await exportOnnx(base, out, { adapter, adapterAs: 'apart' })
    const adapted = await engineLogits(base, examples, adapter)
    const alone = await engineLogits(base, examples, undefined)
    expect(relativeError(alone, adapted)).toBeGreaterThan(0.01)
    expect(relativeError(await logitsOf(out, examples, inputsOf(adapter), 64), adapted)).toBeLessThan(1e-5)
    expect(relativeError(await logitsOf(out, examples, inputsOf(adapter), 1), adapted)).toBeLessThan(1e-5)
    expect(relativeError(await logitsOf(out, examples, [], 5), alone)).toBeLessThan(1e-5)
  })
})

describe.skipIf(skipReason('golden/tiny') !== undefined)('an ONNX export', () => {
  const folder = join(sharedFile('golden/tiny') ?? '', 'llama', 'model')

  it('gives the same bytes twice', async () => {
    await using base = await openModel(folder)
    const [first, second] = [join(place, 'first'), join(place, 'second')]
    await exportOnnx(base, first)
    await exportOnnx(base, second)
    for (const name of ['model.onnx', 'model.onnx_data'])
      expect(readFileSync(join(first, name)).equals(readFileSync(join(second, name)))).toBe(true)
  })

  it('refuses an adapter of another base and dense deltas, and leaves nothing behind', async () => {
    await using base = await openModel(folder)
    const own = base.spec.linearLayers[0]
    if (own === undefined) throw new Error('a base without layers')
    const layer = { name: own.name, in: own.in + 1, out: own.out, rank: 1, scale: 1 }
    const other = makeAdapter([{ ...layer, a: new Float32Array(own.in + 1), b: new Float32Array(own.out) }])
    const shape = [own.out, own.in]
    const dense = makeAdapter([], [{ name: `${own.name}.weight`, shape, values: new Float32Array(own.out * own.in) }])
    const out = join(place, 'refused')
    await expect(exportOnnx(base, out, { adapter: other })).rejects.toThrow(
      expect.objectContaining({ code: 'MISMATCH', message: expect.stringContaining(own.name) as string }),
    )
    await expect(exportOnnx(base, out, { adapter: dense, adapterAs: 'apart' })).rejects.toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED' }),
    )
    expect(() => readdirSync(out)).toThrow()
  })

  it('merges dense deltas, too', async () => {
    await using base = await openModel(folder)
    const { name, in: inputs, out } = base.spec.linearLayers[0] ?? { name: '', in: 0, out: 0 }
    const values = native().random(3, 0, inputs * out, 'normal')
    const adapter = makeAdapter([], [{ name: `${name}.weight`, shape: [out, inputs], values }])
    const graph = join(place, 'dense')
    await exportOnnx(base, graph, { adapter })
    const examples = [[1, 5, 9, 3]]
    const stack = { a: new Float32Array(inputs * inputs), b: values }
    for (let i = 0; i < inputs; i++) stack.a[i * inputs + i] = 1
    const same = makeAdapter([{ name, in: inputs, out, rank: inputs, scale: 1, ...stack }])
    const expected = await engineLogits(base, examples, same)
    expect(relativeError(await logitsOf(graph, examples, [], 4), expected)).toBeLessThan(1e-5)
  })

  it('leaves the old model whole when it is stopped', async () => {
    await using base = await openModel(folder)
    const out = join(place, 'stopped')
    await exportOnnx(base, out)
    const before = readFileSync(join(out, 'model.onnx_data'))
    const stop = new AbortController()
    const stopped = exportOnnx(base, out, { signal: stop.signal, onProgress: () => stop.abort() })
    await expect(stopped).rejects.toThrow(expect.objectContaining({ code: 'ABORTED' }))
    expect(readFileSync(join(out, 'model.onnx_data')).equals(before)).toBe(true)
    expect(readdirSync(out).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})
