import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AdapterLayer, makeAdapter } from '../../../src/adapter/adapter.js'
import { OneroundError } from '../../../src/errors.js'
import { parseSafetensors, serializeSafetensors } from '../../../src/model/safetensors.js'
import { sha256Of } from '../../../src/text/digest.js'
import { checkUpdate } from '../../../src/update/checks.js'
import { describeLeaving } from '../../../src/update/describe.js'
import { adapterSha256, digestOfLayers, isSameAdapter } from '../../../src/update/digest.js'
import { inspectFile } from '../../../src/update/inspect.js'
import { parsePlan, planSha256, writePlan } from '../../../src/update/plan.js'
import { makeReceipt, readReceipt, receiptFile, writeReceipt } from '../../../src/update/receipt.js'
import { parseUpdate, readUpdate, serializeUpdate, shareable, updateSha256 } from '../../../src/update/update.js'
import { adapterOf, generator, plan, planJson, START, updateOf } from './fixture.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'update-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('update file', () => {
  it('round trips bit by bit, with the same bytes each time', async () => {
    const update = updateOf()
    const bytes = serializeUpdate(update)
    const back = parseUpdate(bytes, plan)
    expect(back.info).toEqual(update.info)
    expect(back.adapter.layers).toEqual(update.adapter.layers)
    expect(Buffer.compare(serializeUpdate(back), bytes)).toBe(0)
    const saved = await update.save(join(folder, 'a.update.safetensors'))
    expect(saved.bytes).toBe(bytes.length)
    const read = await readUpdate(join(folder, 'a.update.safetensors'), plan)
    expect(adapterSha256(read.adapter)).toBe(adapterSha256(update.adapter))
  })

  it('does not depend on the order of layers', () => {
    const update = updateOf()
    const reversed = updateOf({}, makeAdapter([...update.adapter.layers].reverse()))
    expect(Buffer.compare(serializeUpdate(reversed), serializeUpdate(update))).toBe(0)
    expect(adapterSha256(reversed.adapter)).toBe(adapterSha256(update.adapter))
  })

  it.each<[string, Record<string, string>]>([
    ['unknown key', { host: 'x' }],
    ['another version', { 'oneround.update': '2' }],
    ['other kinds', { kinds: 'lora_A,lora_B,core' }],
    ['padded number', { examples: '012' }],
    ['exponent spelling', { loss_before: '1e0' }],
    ['negative loss', { loss_before: '-1' }],
    ['infinite loss', { loss_after: 'Infinity' }],
    ['round 0', { round: '0' }],
    ['huge count', { tokens: '1000000000001' }],
    ['client path', { client: '../x' }],
  ])('refuses metadata: %s', (_, change) => {
    const { tensors, metadata } = parseSafetensors(serializeUpdate(updateOf()), 'x')
    expect(() => parseUpdate(serializeSafetensors(tensors, { ...metadata, ...change }), plan)).toThrow(OneroundError)
  })

  it('refuses extra tensors, other types, trailing bytes and a second spelling', () => {
    const bytes = serializeUpdate(updateOf())
    const { tensors, metadata } = parseSafetensors(bytes, 'x')
    const extra = new Map(tensors).set('note', { dtype: 'F32', shape: [1, 1], data: new Uint8Array(4) })
    expect(() => parseUpdate(serializeSafetensors(extra, metadata), plan)).toThrow(/no pair/)
    const integers = new Map([...tensors].map(([name, tensor]) => [name, { ...tensor, dtype: 'I32' }]))
    expect(() => parseUpdate(serializeSafetensors(integers, metadata), plan)).toThrow(/I32/)
    expect(() => parseUpdate(Buffer.concat([bytes, Buffer.alloc(8)]), plan)).toThrow(OneroundError)
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true))
    const spaced = Buffer.concat([bytes.subarray(0, 8 + length), Buffer.from('        '), bytes.subarray(8 + length)])
    spaced.writeBigUInt64LE(BigInt(length + 8))
    expect(() => parseUpdate(spaced, plan)).toThrow(/canonical|layout/)
  })

  it('refuses a file longer than the plan allows before reading it', async () => {
    const file = join(folder, 'long.update.safetensors')
    await writeFile(file, '')
    await truncate(file, 2 ** 32)
    await expect(readUpdate(file, plan)).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  it('survives every truncation and seeded bit flips', () => {
    const bytes = serializeUpdate(updateOf())
    for (let length = 0; length < bytes.length; length += 7)
      expect(() => parseUpdate(bytes.subarray(0, length), plan)).toThrow(OneroundError)
    const next = generator(5)
    const headerEnd = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true))
    for (let i = 0; i < 1500; i++) {
      const copy = bytes.slice()
      const at = Math.floor((next() + 0.5) * headerEnd)
      copy[at] = (copy[at] ?? 0) ^ (1 << (i % 8))
      try {
        checkUpdate(plan, parseUpdate(copy, plan), { round: 1, startSha256: START })
      } catch (error) {
        expect(error).toBeInstanceOf(OneroundError)
      }
    }
  })
})

describe('checks', () => {
  const check =
    (update: ReturnType<typeof updateOf>, o = {}) =>
    () =>
      checkUpdate(plan, update, { round: 1, startSha256: START, ...o })
  const changed = (edit: (layer: { a: Float32Array; b: Float32Array }) => void) => {
    const adapter = adapterOf()
    const last = adapter.layers.at(-1)
    if (last !== undefined) edit(last)
    return updateOf({}, adapter)
  }

  it('takes a sound update', () => {
    expect(check(updateOf())).not.toThrow()
  })

  it.each<[string, () => void]>([
    ['plan', check(updateOf({ planSha256: 'd'.repeat(64) }))],
    ['client', check(updateOf({ client: 'z' }))],
    ['once', check(updateOf(), { taken: new Set(['a']) })],
    ['round', check(updateOf({ round: 2 }))],
    ['start', check(updateOf({ startSha256: 'd'.repeat(64) }))],
    ['weight', check(updateOf({ examples: 0 }))],
    ['finite', check(changed((layer) => (layer.a[3] = Number.NaN)))],
    ['finite', check(changed((layer) => (layer.b[0] = Number.POSITIVE_INFINITY)))],
    ['norm', check(changed((layer) => (layer.b[0] = 3e38)))],
    ['norm', check(updateOf(), { maxEffect: 1e-3 })],
    [
      'non-zero',
      check(updateOf({}, makeAdapter(adapterOf().layers.map((layer) => ({ ...layer, b: layer.b.fill(0) }))))),
    ],
    [
      'trained',
      check(updateOf({ startSha256: adapterSha256(adapterOf()) }), { startSha256: adapterSha256(adapterOf()) }),
    ],
    ['trained', check(updateOf(), { start: adapterOf() })],
    ['scale', check(updateOf({}, makeAdapter(adapterOf().layers.map((layer) => ({ ...layer, scale: 1 })))))],
    ['layers', check(updateOf({}, makeAdapter(adapterOf().layers.slice(1))))],
  ])("refuses by the rule '%s'", (rule, run) => {
    expect(run).toThrow(
      expect.objectContaining({ code: 'REFUSED', message: expect.stringContaining(`the rule '${rule}'`) }),
    )
  })

  it('compares with a start that is at hand as its digest does', () => {
    const { layers } = adapterOf()
    const [first, ...others] = layers as [AdapterLayer, ...AdapterLayer[]]
    const delta = { name: 'x.weight', shape: [2, 2], values: new Float32Array([1, 2, 3, 4]) }
    const like = [
      makeAdapter(layers),
      makeAdapter([...layers].reverse()),
      makeAdapter([...layers, { ...first, name: 'of rank 0', rank: 0, a: new Float32Array(), b: new Float32Array() }]),
      makeAdapter(others),
      makeAdapter([{ ...first, scale: -first.scale }, ...others]),
      makeAdapter([{ ...first, name: 'other' }, ...others]),
      makeAdapter([{ ...first, a: first.a.map((value, i) => (i === 5 ? value + 1 : value)) }, ...others]),
      makeAdapter(layers, [delta]),
      makeAdapter(layers, [{ ...delta, shape: [4, 1] }]),
      makeAdapter(layers, [{ ...delta, values: delta.values.map((value) => -value) }]),
    ]
    for (const one of like)
      for (const other of like) expect(isSameAdapter(one, other)).toBe(adapterSha256(one) === adapterSha256(other))
    expect(() =>
      checkUpdate(plan, updateOf(), { round: 1, startSha256: START, start: makeAdapter(others) }),
    ).not.toThrow()
  })

  it('has one digest, whether names are sorted for one adapter or once for many', () => {
    const { layers } = adapterOf()
    const [first] = layers as [AdapterLayer]
    // Between the names of A and of the scale there is room for those of another layer.
    const nested = [...layers, { ...first, name: `${first.name}.m` }, { ...first, name: 'none', rank: 0 }]
    const digest = digestOfLayers(nested)
    const changed = nested.map((layer) => ({ ...layer, b: layer.b.map((value) => value + 1) }))
    for (const found of [nested, changed, [...nested].reverse()])
      expect(digest(found)).toBe(adapterSha256({ layers: found, dense: [] }))
    expect(digest(changed)).not.toBe(digest(nested))
  })

  it('has the digest of its bytes', () => {
    expect(updateSha256(updateOf())).toBe(sha256Of(serializeUpdate(updateOf())))
  })

  it('lies in bytes that stay, and is copied out of all others', () => {
    const bytes = serializeUpdate(updateOf())
    const kept = parseUpdate(bytes, plan, undefined, { isKept: true })
    expect(kept.adapter.layers[0]?.a.buffer).toBe(bytes.buffer)
    const shifted = new Uint8Array(bytes.length + 1).subarray(1)
    shifted.set(bytes)
    for (const copy of [parseUpdate(bytes, plan), parseUpdate(shifted, plan, undefined, { isKept: true })]) {
      expect(copy.adapter.layers[0]?.a.buffer).not.toBe(bytes.buffer)
      expect(copy.adapter.layers).toEqual(kept.adapter.layers)
    }
  })

  it('refuses what the plan does not share', () => {
    const quiet = parsePlan(planJson((json) => Object.assign(json, { share: ['examples'] })))
    const update = updateOf({ planSha256: planSha256(quiet) })
    expect(() => checkUpdate(quiet, update, { round: 1, startSha256: START })).toThrow(/'share'/)
    const trimmed = updateOf(shareable(quiet, update.info))
    expect(shareable(quiet, update.info)).not.toHaveProperty('tokens')
    expect(() => parseUpdate(serializeUpdate(trimmed), plan)).not.toThrow()
  })
})

describe('beside an update', () => {
  it('describes exactly the metadata and tensors of the file', () => {
    const update = updateOf()
    const { tensors, metadata } = parseSafetensors(serializeUpdate(update), 'x')
    const fields = describeLeaving(plan, update).filter(({ field }) => field !== '(size)')
    expect(fields.map(({ field }) => field).sort()).toEqual([...tensors.keys(), ...Object.keys(metadata)].sort())
    for (const { field, value } of fields) if (field in metadata) expect(value).toBe(metadata[field])
  })

  it('keeps a receipt', async () => {
    const update = updateOf()
    const file = join(folder, 'r.update.safetensors')
    const saved = await update.save(file)
    const receipt = makeReceipt({
      update,
      saved,
      plan,
      data: [{ path: 'a.jsonl', sha256: 'e'.repeat(64) }],
      time: new Date(0),
    })
    expect(receiptFile(file)).toBe(join(folder, 'r.receipt.json'))
    await writeReceipt(receiptFile(file), receipt)
    expect(await readReceipt(receiptFile(file))).toEqual(receipt)
    expect(receipt.time).toBe('1970-01-01T00:00:00.000Z')
    expect((await inspectFile(receiptFile(file))).kind).toBe('receipt')
  })

  it('inspects plans, updates and what an update breaks', async () => {
    const file = join(folder, 'i.update.safetensors')
    await updateOf().save(file)
    expect(await inspectFile(file, plan)).toMatchObject({ kind: 'update', accepted: true })
    const other = parsePlan(planJson((json) => Object.assign(json, { rounds: 1 })))
    const result = await inspectFile(file, other)
    expect(result.accepted).toBe(false)
    expect(result.refusal?.message).toContain("the rule 'plan'")
    await writePlan(join(folder, 'plan.json'), plan)
    const inspected = await inspectFile(join(folder, 'plan.json'))
    expect(inspected.fields[0]?.value).toBe(planSha256(plan))
    await adapterOf().save(join(folder, 'adapter'))
    expect(await inspectFile(join(folder, 'adapter'))).toMatchObject({ kind: 'adapter', notes: [] })
    await makeAdapter(adapterOf().layers, [], { method: 'stack' }).save(join(folder, 'stacked'))
    expect((await inspectFile(join(folder, 'stacked'))).notes.join()).toContain('verbatim')
    await writeFile(join(folder, 'other.json'), '{"version":"0.1.0","name":"x"}')
    await expect(inspectFile(join(folder, 'other.json'))).rejects.toMatchObject({
      code: 'MALFORMED',
      message: expect.stringContaining('neither a plan nor a receipt'),
      found: 'keys version, name',
    })
    await expect(inspectFile(join(folder, 'absent'))).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect((await readFile(file)).length).toBeGreaterThan(0)
  })
})
