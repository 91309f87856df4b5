/** Any order, any grouping, removals, merges and state files: the bits depend on the set of clients alone. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type Aggregate, type Aggregator, type Keep, openAggregator } from '../../../src/aggregate/aggregator.js'
import { inspectFile } from '../../../src/update/inspect.js'
import type { Weights } from '../../../src/update/plan.js'
import { serializeUpdate, type Update } from '../../../src/update/update.js'
import { addProduct, dense, distance, randomUpdate, tinyPlan } from './dense.js'

const folder = mkdtempSync(join(tmpdir(), 'oneround-state-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// The first layer becomes a sum at 3 clients, the second at 5, the third at 17.
const layers = [
  { name: 'transformer.h.0.attn.c_attn', in: 9, out: 12, rank: 2, scale: 2 },
  { name: 'model.layers.0.mlp.down_proj', in: 24, out: 16, rank: 2, scale: 2 },
  { name: 'model.layers.1.mlp.down_proj', in: 70, out: 66, rank: 2, scale: 2 },
]
const names = ['ann', 'bob', 'cyd', 'dan', 'eve', 'fay', 'gus']
const rules: Weights[] = ['examples', 'tokens', 'uniform', Object.fromEntries(names.map((name, i) => [name, i + 0.3]))]

function world(weights: Weights = 'examples') {
  const plan = tinyPlan(layers, { weights }, ['examples', 'tokens'], { rank: 2, alpha: 4 })
  const updates = names.map((name, i) => randomUpdate(plan, name, i + 1, { examples: 3 * i + 1, tokens: 100 + 37 * i }))
  return { plan, updates, open: (keep: Keep, state?: string) => openAggregator(plan, state, { keep }) }
}

async function filled(aggregator: Aggregator, updates: readonly Update[]): Promise<Aggregator> {
  for (const update of updates) await aggregator.add(update)
  return aggregator
}

/** Everything that a finished aggregate says, as one text. */
async function bits(aggregator: Aggregator): Promise<string> {
  const { adapter, ...rest } = await aggregator.finish({ rank: 5 })
  return JSON.stringify([rest, adapter.layers.map((layer) => ({ ...layer, a: [...layer.a], b: [...layer.b] }))])
}

/** A seeded permutation (a multiplicative generator modulo 2^31 - 1). */
function shuffled<T>(items: readonly T[], seed: number): T[] {
  const left = [...items]
  let state = seed
  return Array.from(items, () => {
    state = (state * 48271) % 2147483647
    return left.splice(state % left.length, 1)[0]!
  })
}

describe.each(['updates', 'sums'] as const)('keeping %s', (keep) => {
  test.each(rules)('random orders, groupings, removals and merges change no bit (weights %o)', async (weights) => {
    const { updates, open } = world(weights)
    for (const count of [2, 3, 5, 7]) {
      const wanted = await bits(await filled(await open(keep), updates.slice(0, count)))
      for (let seed = 1; seed <= 6; seed++) {
        const order = shuffled(updates.slice(0, count), seed)
        const cut = seed % (count + 1)
        const extra = updates.slice(count)
        // Two processes, one of which had met more clients before; the second one's state arrives as a file.
        const one = await filled(await open(keep), shuffled([...order.slice(0, cut), ...extra], seed))
        for (const update of shuffled(extra, seed)) await one.remove(update.info.client, { updates })
        const two = await filled(await open(keep), order.slice(cut))
        const file = join(folder, `two-${seed}.state`)
        await two.save(file)
        await one.merge(file)
        expect(await bits(one)).toBe(wanted)
        expect(one.clients).toEqual(updates.slice(0, count).map((update) => update.info.client))
      }
    }
  })

  test('a state file says the same bytes whatever came before, and goes on', async () => {
    const { updates, open } = world()
    const a = join(folder, `a-${keep}.state`)
    const b = join(folder, `b-${keep}.state`)
    const written = await (await filled(await open(keep), updates.slice(0, 4))).save(a)
    const { kind, notes } = await inspectFile(a)
    expect({ kind, notes: notes.join() }).toEqual({
      kind: 'state',
      notes: expect.stringContaining('confidential') as string,
    })
    const other = await filled(await open(keep), [...updates].reverse())
    for (const late of updates.slice(4)) await other.remove(late.info.client, { updates })
    expect(await other.save(b)).toEqual(written)
    expect(readFileSync(b).equals(readFileSync(a))).toBe(true)
    expect(readFileSync(a).length).toBe(written.bytes)
    const reopened = await open(keep, a)
    expect(reopened.keep).toBe(keep)
    const whole = await bits(await filled(reopened, updates.slice(4)))
    expect(whole).toBe(await bits(await filled(await open(keep), updates)))
  })
})

test('sums and updates give the same bits, also where factors became sums', async () => {
  const { updates, open } = world()
  for (const count of [1, 2, 3, 5, 7]) {
    const sums = await filled(await open('sums'), updates.slice(0, count))
    const all = await filled(await open('updates'), updates.slice(0, count))
    expect(await bits(sums)).toBe(await bits(all))
  }
})

test('many updates, summed while others come, from files, bytes and objects: the same bits', async () => {
  const { plan } = world()
  const many = Array.from({ length: 45 }, (_, i) =>
    randomUpdate(plan, `client-${i}`, i + 1, { examples: 5, tokens: 9 }),
  )
  const wanted = await bits(await filled(await openAggregator(plan), many))
  const sums = await openAggregator(plan, undefined, { keep: 'sums', threads: 2 })
  for (const [i, update] of many.entries()) {
    if (i % 3 === 0) await sums.add(update)
    if (i % 3 === 1) {
      const file = join(folder, 'one.update.safetensors')
      await update.save(file)
      await sums.add(file)
    }
    if (i % 3 === 2) {
      // Bytes are the caller's again once the promise has settled.
      const bytes = serializeUpdate(update)
      await sums.add(bytes)
      bytes.fill(0xff)
    }
  }
  expect(await bits(sums)).toBe(wanted)
  await sums.remove('client-7', { updates: many })
  const rest = many.filter(({ info }) => info.client !== 'client-7')
  expect(await bits(sums)).toBe(await bits(await filled(await openAggregator(plan), rest)))
  const other = await filled(await openAggregator(plan, undefined, { keep: 'sums' }), rest)
  expect(await sums.digest()).toBe(await other.digest())
})

test('a sum that was stopped is told once, and nothing follows', async () => {
  const { plan, updates } = world()
  const stop = new AbortController()
  const sums = await filled(
    await openAggregator(plan, undefined, { keep: 'sums', signal: stop.signal }),
    updates.slice(0, 4),
  )
  stop.abort()
  await expect(sums.exact()).rejects.toMatchObject({ code: 'ABORTED' })
  await expect(sums.add(updates[5]!)).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(sums.exact()).rejects.toMatchObject({ code: 'CLOSED' })
})

test('the grid holds the dense weighted sum', async () => {
  for (const weights of rules) {
    const { updates, open } = world(weights)
    const result: Aggregate = await (await filled(await open('sums'), updates)).finish({ rank: 66 })
    layers.forEach((layer, i) => {
      const sum = new Float64Array(layer.in * layer.out)
      for (const update of updates) addProduct(sum, update.adapter.layers[i]!, result.weights[update.info.client]!)
      expect(distance(dense(result.adapter.layers[i]!), sum)).toBeLessThan(3e-7)
    })
    expect(result.relativeError).toBeLessThan(3e-7)
  }
})

describe('what sums cannot do is refused and said', () => {
  const refused = (code: string, message: RegExp) =>
    expect.objectContaining({ code, message: expect.stringMatching(message), fix: expect.any(String) })

  test('other methods, other weights, removal without the update', async () => {
    const { updates, open } = world()
    const sums = await filled(await open('sums'), updates)
    await expect(sums.finish({ method: 'stack' })).rejects.toThrow(refused('REFUSED', /'stack' needs every client/))
    await expect(sums.finish({ weights: 'uniform' })).rejects.toThrow(refused('REFUSED', /weighed anew/))
    await expect(sums.remove('ann')).rejects.toThrow(refused('NOT_FOUND', /update of client 'ann'/))
    // A refused removal changes nothing.
    expect(await bits(sums)).toBe(await bits(await filled(await open('sums'), updates)))
    await sums.remove('ann', { updates: updates.slice(0, 1) })
    await sums.remove('bob', { updates: updates.slice(0, 2) })
    // With five left the second layer is a sum still; with four it would be factors, which needs everybody's update.
    await expect(sums.remove('cyd', { updates: updates.slice(0, 3) })).rejects.toThrow(refused('NOT_FOUND', /'dan'/))
    await sums.remove('cyd', { updates })
    expect(await bits(sums)).toBe(await bits(await filled(await open('sums'), updates.slice(3))))
    // An altered update is not taken for the one that was added.
    const { plan } = world()
    const forged = randomUpdate(plan, 'dan', 99, { examples: 10, tokens: 211 })
    await expect(sums.remove('dan', { updates: [forged] })).rejects.toThrow(refused('NOT_FOUND', /'dan'/))
  })

  test('updates that do not fit the grid', async () => {
    const { plan } = world()
    const big = randomUpdate(plan, 'big', 1, { examples: 1e12 })
    const sums = await openAggregator(plan, undefined, { keep: 'sums' })
    await expect(sums.add(big)).rejects.toThrow(refused('REFUSED', /client 'big'.*rule 'grid'/))
    expect(sums.clients).toEqual([])
  })

  test('merging a client twice, another start, another form', async () => {
    const { plan, updates, open } = world()
    const file = join(folder, 'merge.state')
    await (await filled(await open('sums'), updates.slice(0, 2))).save(file)
    const own = await filled(await open('sums'), updates.slice(1, 3))
    await expect(own.merge(file)).rejects.toThrow(refused('REFUSED', /merge/))
    await expect((await open('updates')).merge(file)).rejects.toThrow(refused('MISMATCH', /keeps sums/))
    const other = await openAggregator(plan, undefined, { keep: 'sums' })
    await other.add(randomUpdate(plan, 'zoe', 50, { startSha256: 'cd'.repeat(32) }))
    await expect(other.merge(file)).rejects.toThrow(refused('REFUSED', /merge/))
  })
})

describe('a hostile state file', () => {
  const { plan, updates, open } = world()

  /** Rewrites header or bytes of a sound file. */
  async function spoiled(change: (header: Record<string, unknown>, data: Buffer) => Buffer | undefined, count = 7) {
    const file = join(folder, 'hostile.state')
    await (await filled(await open('sums'), updates.slice(0, count))).save(file)
    const bytes = readFileSync(file)
    const length = Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, unknown>
    const data = Buffer.from(bytes.subarray(8 + length))
    const changed = change(header, data) ?? data
    const text = Buffer.from(JSON.stringify(header))
    const size = Buffer.alloc(8)
    size.writeBigUInt64LE(BigInt(text.length))
    writeFileSync(file, Buffer.concat([size, text, changed]))
    return openAggregator(plan, file)
  }
  const meta = (header: Record<string, unknown>) => header.__metadata__ as Record<string, string>

  test('the sound one opens', async () => {
    expect((await spoiled(() => undefined)).clients).toEqual(names)
  })

  type Change = Parameters<typeof spoiled>[0]
  const set =
    (key: string, make: (value: string) => string): Change =>
    (header) => {
      meta(header)[key] = make(meta(header)[key] ?? '')
      return undefined
    }
  const flipped: Change = (_, data) => {
    data[data.length - 3]! ^= 1
    return undefined
  }
  const turned: Change = (header) => {
    Object.assign(header['sum/transformer.h.0.attn.c_attn'] as object, { shape: [9, 12] })
    return undefined
  }

  test.each<[string, Change, string]>([
    ['one bit of a sum', flipped, 'MALFORMED'],
    ['cut short', (_, data) => data.subarray(0, data.length - 8), 'MALFORMED'],
    ['another plan', set('plan', () => 'f'.repeat(64)), 'MISMATCH'],
    ['another version', set('oneround.aggregation', () => '2'), 'MALFORMED'],
    ['another key', set('note', () => 'hello'), 'MALFORMED'],
    ['another form', set('keep', () => 'updates'), 'MALFORMED'],
    ['a client less', set('clients', (text) => JSON.stringify(JSON.parse(text).slice(1))), 'MALFORMED'],
    ['a client twice', set('clients', (text) => text.replaceAll('"bob"', '"ann"')), 'MALFORMED'],
    ['clients that are no list', set('clients', () => '{"length": 1e9}'), 'MALFORMED'],
    ['no JSON', set('clients', () => '['), 'MALFORMED'],
    ['steps beyond the grid', set('clients', (text) => text.replace(/"steps":"[^"]*"/, '"steps":"1e30"')), 'MALFORMED'],
    ['a name outside', set('clients', (text) => text.replace('"ann"', '"../ann"')), 'MALFORMED'],
    ['other sizes', turned, 'MALFORMED'],
  ])('%s', async (_, change, code) => {
    await expect(spoiled(change)).rejects.toThrow(expect.objectContaining({ code, fix: expect.any(String) }))
  })
})
