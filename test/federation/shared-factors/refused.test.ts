/** Updates of ffa and fed-sb that break a rule. */
import { describe, expect, it } from 'vitest'
import { type Adapter, makeAdapter } from '../../../src/adapter/adapter.js'
import { parseSafetensors, serializeSafetensors } from '../../../src/model/safetensors.js'
import { startOfRound } from '../../../src/train/start.js'
import { parseUpdate, serializeUpdate, type Update } from '../../../src/update/update.js'
import { closed, ending, kinds, optionsOf, sharedPlans } from './shared-plans.js'

const shared = sharedPlans()

const refusedAs = (rule: RegExp) => ({ code: 'REFUSED', message: expect.stringMatching(rule) })

describe.each(kinds)('updates of %s that break a rule', (kind) => {
  const copy = async () =>
    parseUpdate(serializeUpdate(await shared.update('north', shared.plans[kind])), shared.plans[kind])

  it.each<[string, RegExp, (one: Update) => Update]>([
    ['another A', /frozen/, (one) => withLayer(one, (layer) => ({ ...layer, a: layer.a.map((x) => 2 * x) }))],
    ['NaN', /finite/, (one) => withNumber(one, Number.NaN)],
    ['a shout', /norm/, (one) => withNumber(one, 1e6)],
    ['the kind of LoRA', /kinds/, (one) => ({ ...one, kind: 'lora' })],
    ...(kind === 'ffa'
      ? []
      : ([
          ['another B', /frozen/, (one) => withLayer(one, (layer) => ({ ...layer, b: layer.b.map((x) => 2 * x) }))],
          ['no core', /shape/, ({ cores: _, ...one }) => one],
        ] as [string, RegExp, (one: Update) => Update][])),
  ])('with %s are refused', async (_name, rule, change) => {
    await expect(closed(shared.plans[kind], [change(await copy())])).rejects.toMatchObject(refusedAs(rule))
  })

  it('that were not trained are refused', async () => {
    const one = await copy()
    for (const values of one.cores ?? one.adapter.layers.map(({ b }) => b)) values.fill(0)
    const still = parseUpdate(serializeUpdate(one), shared.plans[kind])
    const word = kind === 'ffa' ? 'lora_B' : 'core'
    await expect(closed(shared.plans[kind], [still])).rejects.toMatchObject(refusedAs(new RegExp(`non-zero.*${word}`)))
    const two = await shared.tiny.planOf({ ...optionsOf(kind), rounds: 2 })
    const exact = await closed(two, [await shared.update('north', two)])
    const { sha256 } = startOfRound(two, 2, exact)
    const same = await shared.update('north', two, { round: 2, start: exact })
    const unmoved = {
      ...same,
      adapter: startOfRound(two, 2, exact).trained,
      info: { ...same.info, startSha256: sha256 },
    }
    if (kind === 'ffa') await expect(closed(two, [unmoved], exact)).rejects.toMatchObject(refusedAs(/'trained'/))
  })

  it.each<[string, (name: string, shape: number[]) => [string, number[]][], RegExp]>([
    [
      'with A too',
      (name, shape) => [
        [name, shape],
        [name.replace(ending[kind], '.lora_A'), shape],
      ],
      /not a sound update/,
    ],
    [
      'with a tensor turned or cut',
      (name, [rows = 0, cols = 0]) => [[name, [rows * cols, 1]]],
      /shape|not a sound update/,
    ],
    ['of another layer', (name, shape) => [[name.replace('layers.0', 'layers.9'), shape]], /layers/],
    ['with a layer less', (name, shape) => (name.includes('layers.1.mlp') ? [] : [[name, shape]]), /layer/],
  ])('%s are refused', async (_name, change, message) => {
    const { tensors, metadata } = parseSafetensors(
      serializeUpdate(await shared.update('north', shared.plans[kind])),
      'update',
    )
    const changed = [...tensors].flatMap(([name, tensor]) =>
      change(name, [...tensor.shape]).map(([to, shape]) => [to, { ...tensor, shape }] as const),
    )
    const bytes = serializeSafetensors(new Map(changed), metadata)
    expect(() => parseUpdate(bytes, shared.plans[kind])).toThrow(message)
  })

  it('and updates of other kinds are told apart', async () => {
    const own = serializeUpdate(await shared.update('north', shared.plans[kind]))
    const lora = serializeUpdate(await shared.update('north', shared.tiny.plan))
    expect(() => parseUpdate(lora, shared.plans[kind])).toThrow(/kinds/)
    expect(() => parseUpdate(own, shared.tiny.plan)).toThrow(/kinds/)
    expect(() => parseUpdate(own, shared.plans[kind === 'ffa' ? 'fed-sb' : 'ffa'])).toThrow(/kinds/)
    for (let length = 0; length < own.length; length += 97)
      expect(() => parseUpdate(own.subarray(0, length), shared.plans[kind])).toThrow()
  })
})

function withLayer(one: Update, change: (layer: Adapter['layers'][number]) => Adapter['layers'][number]): Update {
  const [first, ...rest] = one.adapter.layers
  return { ...one, adapter: makeAdapter([change(first!), ...rest]) }
}

/** Writes one number over the first of what travels. */
function withNumber(one: Update, value: number): Update {
  const travels = one.cores?.[0] ?? one.adapter.layers[0]!.b
  travels[0] = value
  if (one.cores === undefined) return one
  const plan = shared.plans['fed-sb']
  return Number.isNaN(value) ? one : parseUpdate(serializeUpdate(one), plan)
}
