import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AdapterLayer, makeAdapter } from '../../../src/adapter/adapter.js'
import type { DenseDelta } from '../../../src/adapter/dense.js'
import { adapterFileNames, foundAdapterFiles, loadAdapter } from '../../../src/adapter/folder.js'
import { loadPeft, savePeft } from '../../../src/adapter/peft.js'
import { OneroundError } from '../../../src/errors.js'
import { serializeSafetensors } from '../../../src/model/safetensors.js'
import { adapterSha256 } from '../../../src/update/digest.js'
import { inspectFile } from '../../../src/update/inspect.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dense-'))
})
afterAll(() => rm(folder, { recursive: true }))

const numbers = (count: number, phase: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i + phase))
const layer: AdapterLayer = { name: 'm.q', in: 3, out: 2, rank: 1, scale: 2, a: numbers(3, 0), b: numbers(2, 1) }
const dense: DenseDelta[] = [
  { name: 'm.norm.weight', shape: [4], values: numbers(4, 2) },
  { name: 'm.up.weight', shape: [2, 3], values: numbers(6, 3) },
]

describe('an adapter with dense deltas', () => {
  it.each([
    ['beside factors', [layer]],
    ['alone', []],
    ['beside a layer without effect', [{ ...layer, rank: 0, a: new Float32Array(), b: new Float32Array() }]],
  ])('comes back from its folder, %s', async (name, layers) => {
    const path = join(folder, name)
    const adapter = makeAdapter(layers, dense, { base: '/private/place/tiny', method: 'svd' })
    await adapter.save(path)
    const back = await loadAdapter(path)
    expect(back.layers).toEqual(layers.filter((one) => one.rank > 0))
    expect(back.dense).toEqual(dense)
    expect(back.origin).toEqual({ base: 'tiny', revision: undefined, method: 'svd' })
    expect(adapterSha256(back)).toBe(adapterSha256(adapter))
    expect(foundAdapterFiles(path).sort()).toEqual(adapterFileNames(adapter).sort())
    const { kind, fields } = await inspectFile(path)
    expect(kind).toBe('adapter')
    expect(fields.map(({ field }) => field)).toContain('m.norm.weight')
  })

  it('is no PEFT folder: PEFT alone finds nothing instead of half', async () => {
    const path = join(folder, 'half')
    await makeAdapter([layer], dense).save(path)
    expect(existsSync(join(path, 'adapter_config.json'))).toBe(false)
    await expect(loadPeft(path)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(savePeft(makeAdapter([layer], dense), path)).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  it('leaves nothing of what the folder held before, in either direction', async () => {
    const path = join(folder, 'again')
    const small = makeAdapter([layer])
    const whole = makeAdapter([layer], dense)
    const alone = makeAdapter([], dense)
    for (const adapter of [small, whole, alone, small, alone, whole, small]) {
      await adapter.save(path)
      expect(foundAdapterFiles(path).sort()).toEqual(adapterFileNames(adapter).sort())
      expect(adapterSha256(await loadAdapter(path))).toBe(adapterSha256(adapter))
    }
  })

  it('has a digest of its own: every number, name and shape counts', () => {
    const of = (list: readonly DenseDelta[]) => adapterSha256(makeAdapter([layer], list))
    const [norm, up] = dense as [DenseDelta, DenseDelta]
    const others = [
      of([]),
      of([norm]),
      of([{ ...norm, name: 'm.other' }, up]),
      of([norm, { ...up, shape: [3, 2] }]),
      of([norm, { ...up, values: up.values.map((value, i) => (i === 5 ? value + 1 : value)) }]),
    ]
    expect(new Set([of(dense), ...others]).size).toBe(6)
    expect(of([up, norm])).toBe(of(dense))
  })
})

describe('hostile folders', () => {
  const file =
    (...changes: [string, Uint8Array | string][]) =>
    async (path: string) => {
      for (const [name, content] of changes) await writeFile(join(path, name), content)
    }
  const seal = (change: object) => async (path: string) => {
    const text = await readFile(join(path, 'oneround_adapter.json'), 'utf8')
    await writeFile(join(path, 'oneround_adapter.json'), JSON.stringify({ ...JSON.parse(text), ...change }))
  }
  const tensors = (shape: number[], dtype = 'F32', name = 'm.up.weight', values?: number[], version = '1') => {
    const data = new Uint8Array(shape.reduce((product, n) => product * n, dtype === 'F32' ? 4 : 2))
    if (values !== undefined) data.set(new Uint8Array(Float32Array.from(values).buffer))
    return serializeSafetensors(new Map([[name, { dtype, shape, data }]]), { 'oneround.dense': version })
  }
  it.each<[string, (path: string) => Promise<void>, string]>([
    ['a PEFT config beside it', file(['adapter_config.json', '{}']), 'MALFORMED'],
    ['a seal that is no JSON', file(['oneround_adapter.json', '{']), 'MALFORMED'],
    ['another version', seal({ version: 2 }), 'MALFORMED'],
    ['a field too many', seal({ note: 'x' }), 'MALFORMED'],
    [
      'a config that asks for more',
      seal({ factors: { peft_type: 'LORA', r: 1, lora_alpha: 2, use_dora: true } }),
      'UNSUPPORTED',
    ],
    ['NaN', file(['dense.safetensors', tensors([2], 'F32', 'm', [1, Number.NaN])]), 'MALFORMED'],
    ['infinity', file(['dense.safetensors', tensors([2], 'F32', 'm', [1, Number.POSITIVE_INFINITY])]), 'MALFORMED'],
    ['another type', file(['dense.safetensors', tensors([2, 3], 'F16')]), 'MALFORMED'],
    ['three axes', file(['dense.safetensors', tensors([1, 2, 3])]), 'MALFORMED'],
    ['an empty tensor', file(['dense.safetensors', tensors([0, 3])]), 'MALFORMED'],
    ['a long name', file(['dense.safetensors', tensors([2], 'F32', 'm'.repeat(201))]), 'MALFORMED'],
    ['no version', file(['dense.safetensors', tensors([2], 'F32', 'm', [1, 2], '7')]), 'MALFORMED'],
    ['no tensor', file(['dense.safetensors', serializeSafetensors(new Map(), { 'oneround.dense': '1' })]), 'MALFORMED'],
    ['no dense file', (path) => rm(join(path, 'dense.safetensors')), 'NOT_FOUND'],
    ['no factors', (path) => rm(join(path, 'adapter_model.safetensors')), 'NOT_FOUND'],
    ['no seal', (path) => rm(join(path, 'oneround_adapter.json')), 'NOT_FOUND'],
  ])('with %s are refused', async (name, harm, code) => {
    const path = join(folder, `hostile ${name}`)
    await makeAdapter([layer], dense).save(path)
    await harm(path)
    await expect(loadAdapter(path)).rejects.toMatchObject({ code })
  })

  it('are refused when cut short anywhere', async () => {
    const path = join(folder, 'torn')
    await makeAdapter([layer], dense).save(path)
    for (const name of ['dense.safetensors', 'oneround_adapter.json']) {
      const bytes = await readFile(join(path, name))
      for (let length = 0; length < bytes.length - 1; length += 17) {
        await writeFile(join(path, name), bytes.subarray(0, length))
        await expect(loadAdapter(path), `${name} of ${length} bytes`).rejects.toBeInstanceOf(OneroundError)
      }
      await writeFile(join(path, name), bytes)
    }
  })
})

it('makeAdapter refuses dense deltas that do not fit together', () => {
  const [norm] = dense as [DenseDelta]
  expect(() => makeAdapter([], [norm, norm])).toThrow('taken')
  expect(() => makeAdapter([], [{ ...norm, shape: [5] }])).toThrow('size')
  expect(() => makeAdapter([], [{ ...norm, shape: [2, 2, 1] }])).toThrow('size')
  expect(() => makeAdapter([], [{ ...norm, shape: [] }])).toThrow('size')
  expect(() => makeAdapter([], [{ ...norm, name: '' }])).toThrow('taken')
})
