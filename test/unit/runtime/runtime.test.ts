/** The same base and adapter behind both interfaces of this package: the native engine and onnxruntime. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeAdapter } from '../../../src/adapter/adapter.js'
import { exportOnnx } from '../../../src/adapter/onnx/export.js'
import { openModel } from '../../../src/model/open.js'
import { native } from '../../../src/native/load.js'
import { openRuntime } from '../../../src/runtime/open.js'
import type { Runtime } from '../../../src/runtime/runtime.js'

const base = fileURLToPath(new URL('../../../base', import.meta.url))
const place = mkdtempSync(join(tmpdir(), 'oneround-runtime-'))
const graph = join(place, 'apart')
const folder = join(place, 'adapter')
const prompt = 'Fellow citizens, the state of the union'
const continuations = [' is strong', ' and of the people of these states', ' qq']
const runtimes: Record<'native' | 'onnx', Runtime> = {} as never

beforeAll(async () => {
  await using model = await openModel(base)
  const { linearLayers } = model.spec
  const layers = linearLayers
    .filter(({ name }) => name.endsWith('q_proj') || name.endsWith('down_proj'))
    .map((layer, index) => {
      const draw = (stream: number, count: number) => native().random(7, 2 * index + stream, count, 'normal')
      const b = draw(1, 4 * layer.out).map((value) => value * 0.02)
      return { ...layer, rank: 4, scale: 0.5, a: draw(0, 4 * layer.in), b }
    })
  await makeAdapter(layers).save(folder)
  await exportOnnx(model, graph, { adapterAs: 'apart' })
  runtimes.native = await openRuntime('native', { model: base, adapters: { own: folder } })
  runtimes.onnx = await openRuntime('onnx', { model: graph, adapters: { own: folder }, threads: 2 })
}, 60_000)
afterAll(async () => {
  await runtimes.native.close()
  await runtimes.onnx.close()
  rmSync(place, { recursive: true })
})

async function textOf(runtime: Runtime, adapter: string | undefined): Promise<string> {
  let text = ''
  for await (const piece of runtime.generate(prompt, { adapter, maxTokens: 16 })) text += piece
  return text
}

describe('runtimes', () => {
  it('give the same greedy text, with an adapter another one', async () => {
    const alone = await textOf(runtimes.native, undefined)
    const adapted = await textOf(runtimes.native, 'own')
    expect(alone).not.toBe(adapted)
    expect(await textOf(runtimes.onnx, undefined)).toBe(alone)
    expect(await textOf(runtimes.onnx, 'own')).toBe(adapted)
    // the session that served an adapter still serves the base
    expect(await textOf(runtimes.onnx, undefined)).toBe(alone)
  })

  it.each([undefined, 'own'])('give the same likelihoods with adapter %s', async (adapter) => {
    const expected = await runtimes.native.score(prompt, continuations, { adapter })
    const found = await runtimes.onnx.score(prompt, continuations, { adapter })
    expect(found.map(({ tokens }) => tokens)).toEqual(expected.map(({ tokens }) => tokens))
    for (const [i, { logLikelihood }] of expected.entries())
      expect(Math.abs((found[i]?.logLikelihood ?? 0) - logLikelihood)).toBeLessThan(1e-3)
  })

  it('answer requests that come at once one after another', async () => {
    const alone = await textOf(runtimes.onnx, undefined)
    const texts = await Promise.all([textOf(runtimes.onnx, undefined), textOf(runtimes.onnx, 'own')])
    expect(texts[0]).toBe(alone)
    expect(texts[1]).not.toBe(alone)
  })

  it.each(['native', 'onnx'] as const)('%s refuses an adapter that it does not have', async (kind) => {
    const unknown = expect.objectContaining({ code: 'NOT_FOUND', expected: 'own' })
    await expect(runtimes[kind].score(prompt, [' a'], { adapter: 'other' })).rejects.toThrow(unknown)
    await expect(textOf(runtimes[kind], 'other')).rejects.toThrow(unknown)
  })

  it.each(['native', 'onnx'] as const)('%s stops when asked and serves the next request', async (kind) => {
    const stop = new AbortController()
    const reading = async () => {
      for await (const _ of runtimes[kind].generate(prompt, { maxTokens: 400, signal: stop.signal })) stop.abort()
    }
    await expect(reading()).rejects.toThrow(expect.objectContaining({ code: 'ABORTED' }))
    expect(await runtimes[kind].score(prompt, [' is strong'])).toHaveLength(1)
  })

  it('onnx leaves the event loop free', { retry: 2 }, async () => {
    let latest = performance.now()
    let longest = 0
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - latest)
      latest = performance.now()
    }, 5)
    await runtimes.onnx.score(prompt.repeat(20), continuations)
    clearInterval(timer)
    expect(longest).toBeLessThan(200)
  })

  it('refuses a graph without inputs for the adapter, and a folder without a graph', async () => {
    const merged = join(place, 'merged')
    await using model = await openModel(base)
    await exportOnnx(model, merged)
    await expect(openRuntime('onnx', { model: merged, adapters: { own: folder } })).rejects.toThrow(
      expect.objectContaining({ code: 'MISMATCH', message: expect.stringContaining("adapter 'own'") as string }),
    )
    await expect(openRuntime('onnx', { model: folder })).rejects.toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
    await expect(openRuntime('llama.cpp', { model: base })).rejects.toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED' }),
    )
  }, 30_000)
})
