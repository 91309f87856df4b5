import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Adapter, type AdapterLayer, makeAdapter } from '../../../src/adapter/adapter.js'
import { splitCarried } from '../../../src/adapter/carried.js'
import { floatsOf } from '../../../src/adapter/floats.js'
import { initialAdapter } from '../../../src/adapter/initial.js'
import { loadPeft, savePeft } from '../../../src/adapter/peft.js'
import { OneroundError } from '../../../src/errors.js'
import { native } from '../../../src/native/load.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const golden = join(root, '..', 'shared', 'golden', 'tiny')
const hasAddon = existsSync(join(root, 'build', 'Release', 'oneround.node'))

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'adapter-'))
})
afterAll(() => rm(folder, { recursive: true }))

let counter = 0
function layer(name: string, rank: number, scale: number, sizes = { in: 6, out: 5 }): AdapterLayer {
  const draw = () => Math.sin(++counter * 12.9898)
  return {
    name,
    ...sizes,
    rank,
    scale,
    a: Float32Array.from({ length: rank * sizes.in }, draw),
    b: Float32Array.from({ length: sizes.out * rank }, draw),
  }
}

async function roundTrip(layers: AdapterLayer[], name: string) {
  const path = join(folder, name)
  await savePeft(makeAdapter(layers), path, { base: '/somewhere/private/tiny' })
  return {
    back: await loadPeft(path),
    config: JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8')) as Record<string, unknown>,
  }
}

describe('PEFT folder', () => {
  it('keeps factors and one scale, and no path', async () => {
    const layers = [layer('m.0.q', 4, 2), layer('m.1.q', 4, 2), layer('m.10.q', 4, 2)]
    const { back, config } = await roundTrip(layers, 'plain')
    expect(back.layers).toEqual(layers)
    expect(config).toMatchObject({
      r: 4,
      lora_alpha: 8,
      rank_pattern: {},
      alpha_pattern: {},
      use_rslora: false,
      base_model_name_or_path: 'tiny',
    })
  })

  it('writes patterns where layers differ', async () => {
    const layers = [layer('m.0.q', 4, 2), layer('m.1.q', 2, 4), layer('m.2.q', 4, 1)]
    const { back, config } = await roundTrip(layers, 'patterns')
    expect(back.layers).toEqual(layers)
    expect(config).toMatchObject({ r: 4, lora_alpha: 8, rank_pattern: { 'm.1.q': 2 }, alpha_pattern: { 'm.2.q': 4 } })
  })

  it('gives every scale back bit by bit that comes from alpha / r or alpha / sqrt(r)', async () => {
    for (const root of [false, true]) {
      const layers = Array.from({ length: 40 }, (_, i) => {
        const rank = 1 + (i % 5)
        const alpha = root ? 1 + i : 0.1 * (1 + i)
        return layer(`m.${i}.q`, rank, alpha / (root ? Math.sqrt(rank) : rank))
      })
      const { back } = await roundTrip(layers, `scales-${root}`)
      expect(back.layers.map((one) => one.scale)).toEqual(layers.map((one) => one.scale))
    }
  })

  it('leaves out layers of rank 0 and refuses an adapter without any', async () => {
    const { back } = await roundTrip([layer('m.0.q', 0, 1), layer('m.1.q', 1, 1)], 'zero')
    expect(back.layers.map((one) => one.name)).toEqual(['m.1.q'])
    await expect(savePeft(makeAdapter([layer('m.0.q', 0, 1)]), join(folder, 'none'))).rejects.toThrow('without layers')
  })

  it.each<[string, Record<string, unknown>, string]>([
    ['modules_to_save', { modules_to_save: ['classifier'] }, 'UNSUPPORTED'],
    ['DoRA', { use_dora: true }, 'UNSUPPORTED'],
    ['trained biases', { bias: 'all' }, 'UNSUPPORTED'],
    ['another method', { peft_type: 'IA3' }, 'UNSUPPORTED'],
    ['a wrong rank', { r: 3 }, 'MISMATCH'],
    ['no rank', { r: undefined }, 'MALFORMED'],
    ['a hostile pattern', { rank_pattern: { '(a*)*': 4 } }, 'UNSUPPORTED'],
  ])('refuses %s', async (_, change, code) => {
    const { config } = await roundTrip([layer('m.0.q', 4, 2)], 'refused')
    await writeFile(join(folder, 'refused', 'adapter_config.json'), JSON.stringify({ ...config, ...change }))
    await expect(loadPeft(join(folder, 'refused'))).rejects.toMatchObject({ code })
  })

  it("tells PEFT about GPT-2's transposed layers, whose factors are as any layer's", async () => {
    const gpt2 = await roundTrip(
      [layer('transformer.h.0.attn.c_attn', 4, 2), layer('transformer.h.0.mlp.c_fc', 4, 2)],
      'gpt2',
    )
    expect(gpt2.config.fan_in_fan_out).toBe(true)
    const llama = await roundTrip([layer('model.layers.0.self_attn.q_proj', 4, 2)], 'llama')
    expect(llama.config.fan_in_fan_out).toBe(false)
  })

  it('takes patterns as regular expressions and target_modules in any form', async () => {
    const { config } = await roundTrip([layer('m.0.q', 4, 2), layer('m.1.q', 4, 2)], 'regex')
    await writeFile(
      join(folder, 'regex', 'adapter_config.json'),
      JSON.stringify({ ...config, target_modules: '.*q', alpha_pattern: { '[1-9].q': 12 }, use_rslora: true }),
    )
    expect((await loadPeft(join(folder, 'regex'))).layers.map((one) => one.scale)).toEqual([4, 6])
  })

  it('refuses broken folders', async () => {
    await expect(loadPeft(join(folder, 'absent'))).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await roundTrip([layer('m.0.q', 4, 2)], 'torn')
    const file = join(folder, 'torn', 'adapter_model.safetensors')
    const bytes = await readFile(file)
    for (let length = 0; length < bytes.length; length += 23) {
      await writeFile(file, bytes.subarray(0, length))
      await expect(loadPeft(join(folder, 'torn'))).rejects.toBeInstanceOf(OneroundError)
    }
  })

  const cases = ['llama', 'llama_tied_bf16', 'llama3_rope', 'llama_rslora_q_v']
  if (!existsSync(golden)) console.log(`Skipped: adapters that PEFT saved; ${golden} is absent.`)
  it.skipIf(!existsSync(golden)).each(cases)('reads and rewrites what PEFT saved: %s', async (name) => {
    const source = join(golden, name, 'adapter')
    const config = JSON.parse(readFileSync(join(source, 'adapter_config.json'), 'utf8')) as {
      r: number
      lora_alpha: number
      use_rslora: boolean
      target_modules: string[]
    }
    const adapter = await loadPeft(source)
    expect(adapter.layers).toHaveLength(2 * config.target_modules.length)
    for (const one of adapter.layers) {
      const rank = name === 'llama' && one.name === 'model.layers.1.self_attn.q_proj' ? 2 : config.r
      expect(one.rank).toBe(rank)
      expect(one.scale).toBe(config.lora_alpha / (config.use_rslora ? Math.sqrt(rank) : rank))
    }
    await adapter.save(join(folder, name))
    expect((await loadPeft(join(folder, name))).layers).toEqual(adapter.layers)
  })
})

describe('makeAdapter', () => {
  it('refuses what does not fit together', () => {
    const good = layer('m', 2, 1)
    expect(() => makeAdapter([good, good])).toThrow('twice')
    expect(() => makeAdapter([{ ...good, rank: 3 }])).toThrow('size')
    expect(() => makeAdapter([{ ...good, scale: Number.NaN }])).toThrow('finite')
    expect(() => makeAdapter([{ ...good, in: -6 }])).toThrow(OneroundError)
  })
})

it('widens F16 and BF16 without loss', () => {
  const tensor = (dtype: string, ...halves: number[]) => ({
    dtype,
    shape: [halves.length],
    data: new Uint8Array(new Uint16Array(halves).buffer),
  })
  expect([...floatsOf(tensor('F16', 0x3c00, 0xc000, 0x0001, 0x03ff, 0x7bff, 0x8000), 'x')]).toEqual([
    1,
    -2,
    2 ** -24,
    1023 * 2 ** -24,
    65504,
    -0,
  ])
  expect(floatsOf(tensor('F16', 0xfc00), 'x')[0]).toBe(Number.NEGATIVE_INFINITY)
  expect([...floatsOf(tensor('BF16', 0x3f80, 0xc040), 'x')]).toEqual([1, -3])
  expect(() => floatsOf({ dtype: 'I8', shape: [1], data: new Uint8Array(1) }, 'x')).toThrow('type')
})

describe('initialAdapter', () => {
  const layers = [layer('m.0', 2, 3), layer('m.1', 3, 3)].map(({ a: _a, b: _b, ...rest }) => rest)

  it('maps uniform and normal draws, one stream a layer', () => {
    const streams: number[][] = []
    const fake = (seed: number, stream: number, count: number, kind: string) => {
      streams.push([seed, stream])
      return new Float32Array(count).fill(kind === 'uniform' ? 0.75 : 6)
    }
    const kaiming = initialAdapter(layers, 9, 'kaiming', fake)
    expect(kaiming.layers[0]?.a[0]).toBe(Math.fround(0.5 / Math.sqrt(6)))
    expect(kaiming.layers.every((one) => one.b.every((value) => value === 0))).toBe(true)
    expect(streams).toEqual([
      [9, 0],
      [9, 1],
    ])
    expect(initialAdapter(layers, 9, 'gaussian', fake).layers.map((one) => one.a[0])).toEqual([3, 2])
  })

  if (!hasAddon) console.log('Skipped: the seeded start from the addon; build/Release/oneround.node is absent.')
  it.skipIf(!hasAddon)('is the same for the same seed and within the bound', () => {
    const draws = [1, 1, 2].map((seed) => initialAdapter(layers, seed).layers.map((one) => one.a))
    expect(draws[0]).toEqual(draws[1])
    expect(draws[0]).not.toEqual(draws[2])
    expect(draws[0]?.every((a) => a.every((value) => Math.abs(value) <= 1 / Math.sqrt(6)))).toBe(true)
    expect(native().random(1, 0, 4, 'uniform')).toHaveLength(4)
  })
})

describe('splitCarried', () => {
  const planLayer = { name: 'm', in: 6, out: 5, rank: 2, scale: 2.5 }
  const effect = (one: { in: number; out: number; rank: number; a: Float32Array; b: Float32Array }, scale: number) =>
    Array.from({ length: one.out * one.in }, (_, at) => {
      let sum = 0
      for (let k = 0; k < one.rank; k++)
        sum += (one.b[Math.floor(at / one.in) * one.rank + k] ?? 0) * (one.a[k * one.in + (at % one.in)] ?? 0)
      return scale * sum
    })
  const total = (split: ReturnType<typeof splitCarried>) => {
    const [head] = split.trainable.layers as [AdapterLayer]
    const sum = effect(head, head.scale)
    for (const rest of split.overlay)
      for (const [i, value] of effect({ in: 6, out: 5, ...rest }, 1).entries()) sum[i] = (sum[i] ?? 0) + value
    return sum
  }
  const expectClose = (split: ReturnType<typeof splitCarried>, exact: Adapter) => {
    const [one] = exact.layers as [AdapterLayer]
    for (const [i, value] of effect(one, one.scale).entries()) expect(total(split)[i]).toBeCloseTo(value, 5)
  }

  it.each([1, 0.5])('cuts the exact adapter in two whose sum it is (scale %s)', (scale) => {
    const exact = makeAdapter([layer('m', 4, scale)])
    const split = splitCarried(exact, [planLayer])
    expect(split.trainable.layers[0]).toMatchObject({ rank: 2, scale: 2.5 })
    expect(split.overlay[0]?.rank).toBe(2)
    // The head is the first directions: A's rows in order.
    expect(split.trainable.layers[0]?.a[0]).toBeCloseTo((exact.layers[0]?.a[0] ?? 0) * Math.sqrt(scale / 2.5), 6)
    expectClose(split, exact)
  })

  it('has no overlay at equal rank and refuses what the plan does not train', () => {
    const exact = makeAdapter([layer('m', 2, 1)])
    expect(splitCarried(exact, [planLayer]).overlay).toEqual([])
    expect(() => splitCarried(makeAdapter([layer('other', 2, 1)]), [planLayer])).toThrow('other')
    expect(() => splitCarried(makeAdapter([layer('m', 2, 1, { in: 7, out: 5 })]), [planLayer])).toThrow('size')
  })

  it.skipIf(!hasAddon)('starts missing directions like round 1, without an effect', () => {
    const exact = makeAdapter([layer('m', 1, 1)])
    const split = splitCarried(exact, [planLayer])
    expectClose(split, exact)
    const [head] = split.trainable.layers as [AdapterLayer]
    expect(head.a.slice(6).some((value) => value !== 0)).toBe(true)
    expect([1, 3, 5, 7, 9].every((at) => head.b[at] === 0)).toBe(true)
  })
})
