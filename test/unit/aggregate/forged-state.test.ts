/** States that lie and whose digests fit the lie: nothing is believed because of a digest that anybody can make. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type Keep, openAggregator } from '../../../src/aggregate/aggregator.js'
import { MOST_STEPS } from '../../../src/aggregate/grid.js'
import { canonicalJson } from '../../../src/update/canonical.js'
import type { Weights } from '../../../src/update/plan.js'
import { randomUpdate, tinyPlan } from './dense.js'

const folder = mkdtempSync(join(tmpdir(), 'oneround-forged-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// With five clients the first layer is a sum, the second still factors.
const layers = [
  { name: 'model.layers.0.mlp.up_proj', in: 9, out: 12, rank: 2, scale: 2 },
  { name: 'model.layers.1.mlp.down_proj', in: 70, out: 66, rank: 2, scale: 2 },
]
const names = ['ann', 'bob', 'cyd', 'dan', 'eve']
const planOf = (weights: Weights = 'examples') =>
  tinyPlan(layers, { weights }, ['examples', 'tokens'], { rank: 2, alpha: 4 })

interface Tensor {
  dtype: string
  shape: number[]
  data: Buffer
}

interface Told {
  info: Record<string, string>
  sha256: string
  steps: string
}

/** A state as its parts, to be changed at will. */
interface State {
  metadata: Record<string, string>
  clients: Told[]
  tensors: Record<string, Tensor>
}

function parse(bytes: Buffer): State {
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as { __metadata__: Record<string, string> }
  const { __metadata__: metadata, ...entries } = header
  const tensors: Record<string, Tensor> = {}
  for (const [name, { dtype, shape, data_offsets: at }] of Object.entries<{
    dtype: string
    shape: number[]
    data_offsets: [number, number]
  }>(entries))
    tensors[name] = { dtype, shape, data: Buffer.from(bytes.subarray(8 + length + at[0], 8 + length + at[1])) }
  return { metadata, clients: JSON.parse(metadata.clients!) as Told[], tensors }
}

/** The bytes of a state, with the digest of what it now says. */
function assemble({ metadata, clients, tensors }: State): Buffer {
  const { digest: _, ...rest } = metadata
  const told = { ...rest, clients: canonicalJson(clients) }
  const hash = createHash('sha256').update(`${canonicalJson(told)}\0`)
  const header: Record<string, unknown> = {}
  const parts: Buffer[] = []
  let end = 0
  for (const [name, { dtype, shape, data }] of Object.entries(tensors).sort(([x], [y]) => (x < y ? -1 : 1))) {
    hash.update(`${name}\0${dtype}\0${shape}\0`).update(data)
    header[name] = { dtype, shape, data_offsets: [end, end + data.length] }
    end += data.length
    parts.push(data)
  }
  const text = JSON.stringify({ __metadata__: { ...told, digest: hash.digest('hex') }, ...header })
  const padded = Buffer.from(text.padEnd(Math.ceil(Buffer.byteLength(text) / 8) * 8))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(padded.length))
  return Buffer.concat([size, padded, ...parts])
}

async function forged(change: (state: State) => void, keep: Keep = 'sums', weights: Weights = 'examples', place = {}) {
  const plan = planOf(weights)
  const file = join(folder, 'forged.state')
  const sum = await openAggregator(plan, undefined, { keep })
  for (const [i, name] of names.entries())
    await sum.add(randomUpdate(plan, name, i + 1, { examples: 3 * i + 1, tokens: 100 + i }))
  await sum.save(file)
  const state = parse(readFileSync(file))
  change(state)
  writeFileSync(file, assemble(state))
  return openAggregator(plan, file, place)
}

const sum = `sum/${layers[0]!.name}`
const factors = 'factors/bob'

test('an honest state, taken apart and put together, opens', async () => {
  for (const keep of ['sums', 'updates'] as const) expect((await forged(() => {}, keep)).clients).toEqual(names)
})

describe('a forged state is refused with rule, value and limit:', () => {
  const grid = (at: number, value: bigint) => (state: State) =>
    void state.tensors[sum]!.data.writeBigInt64LE(value, 8 * at)
  const told = (change: (client: Told) => void) => (state: State) => change(state.clients[1]!)

  test.each<[string, (state: State) => void, RegExp]>([
    ['a shape that lies', ({ tensors }) => (tensors[sum]!.shape = [9, 12]), /I64 \[9,12\]/],
    [
      'a layer that is larger',
      ({ tensors }) => (tensors[sum] = { dtype: 'I64', shape: [12, 18], data: Buffer.alloc(12 * 18 * 8) }),
      /I64 \[12,18\]/,
    ],
    [
      'a rank beyond the plan',
      ({ tensors }) => (tensors[factors] = { dtype: 'F32', shape: [3 * 136], data: Buffer.alloc(3 * 136 * 4) }),
      /'factors\/bob' as F32 \[408\]/,
    ],
    [
      'a tensor of a client who is not there',
      ({ tensors }) => (tensors['factors/zoe'] = tensors[factors]!),
      /'factors\/zoe'/,
    ],
    ['factors that are missing', ({ tensors }) => void delete tensors[factors], /5 of 6 tensors|tensors/],
    ['a sum beyond its clients', grid(5, 2n ** 62n), /layer '.*up_proj'.*'grid': 4611686\d+ steps; must be at most/],
    ['the least of all integers', grid(0, -(2n ** 63n)), /'grid'/],
    ['more steps than the grid has', told((c) => (c.steps = String(MOST_STEPS))), /list of clients/],
    ['steps that are no number', told((c) => (c.steps = 'NaN')), /list of clients/],
    ['steps below the factors that are there', told((c) => (c.steps = '1')), /client 'bob'.*'grid'.*; must be 1,/],
    ['a count that overflows', told((c) => (c.info.examples = '1e400')), /'examples'/],
    ['a count beyond all limits', told((c) => (c.info.examples = '2000000000000')), /'examples'.*2000000000000/],
    [
      'a count of nothing',
      told((c) => (c.info.examples = '0')),
      /client 'bob'.*'stated': 0 examples; must be at least 1/,
    ],
    ['no count where the plan weighs by it', told((c) => void delete c.info.examples), /client 'bob'.*'stated'/],
    [
      'a loss that the plan does not share',
      told((c) => (c.info.loss_before = '1')),
      /client 'bob'.*'stated': states losses/,
    ],
    ['a client of another round', told((c) => (c.info.round = '2')), /client 'bob'.*'round': round 2; must be round 1/],
    ['a client of another start', told((c) => (c.info.start = 'e'.repeat(64))), /client 'bob'.*'start'/],
    ['a client of another plan', told((c) => (c.info.plan = 'e'.repeat(64))), /client 'bob'.*'plan'/],
    ['a client out of order', ({ clients }) => void clients.reverse(), /client 'dan'.*'order': behind 'eve'/],
    [
      'a factor that is infinite',
      ({ tensors }) => void tensors[factors]!.data.writeFloatLE(Number.POSITIVE_INFINITY, 0),
      /client 'bob'.*'finite'/,
    ],
    [
      'factors beyond every norm',
      ({ tensors }) => {
        const { buffer, byteOffset, length } = tensors[factors]!.data
        // Only its own bytes: a small buffer lies beside others in one block.
        new Float32Array(buffer, byteOffset, length / 4).fill(1e9)
      },
      /client 'bob'.*'norm'.*at most 10/,
    ],
  ])('%s', async (_, change, says) => {
    await expect(forged(change)).rejects.toThrow(expect.objectContaining({ fix: expect.any(String) }))
    await expect(forged(change)).rejects.toThrow(says)
  })

  test('a sum whose effect no clients can have, though their steps would allow it', async () => {
    const change = (state: State) => {
      for (const client of state.clients) client.steps = String(2 ** 50)
      const { data } = state.tensors[sum]!
      for (let at = 0; at < data.length; at += 8) data.writeBigInt64LE(2n ** 51n, at)
    }
    await expect(forged(change)).rejects.toThrow(/layer '.*up_proj'.*'norm': an effect of .*; must be at most 10/)
  })

  test('counts whose sum is no whole number any more', async () => {
    const { info, ...rest } = { info: {}, sha256: 'a'.repeat(64), steps: '0' }
    const change = (state: State) => {
      const one = state.clients[0]!
      state.clients = Array.from({ length: 9100 }, (_, i) => ({
        ...rest,
        info: { ...info, ...one.info, client: `c${String(i).padStart(6, '0')}`, examples: '1000000000000' },
      }))
    }
    await expect(forged(change, 'updates')).rejects.toThrow(
      /client 'c009007'.*'count': .*; must be at most 9007199254740991/,
    )
  })

  test('steps that would overflow 64 bits together', async () => {
    const change = (state: State) => {
      const one = state.clients[0]!
      state.clients = Array.from({ length: 2100 }, (_, i) => ({
        ...one,
        steps: String(2 ** 51 - 1),
        info: { ...one.info, client: `c${String(i).padStart(6, '0')}` },
      }))
    }
    await expect(forged(change)).rejects.toThrow(/client 'c002048'.*'grid': 4\.61e\+18 steps; must be below 4\.61e\+18/)
  })

  test('steps where updates are kept', async () => {
    await expect(forged(({ clients }) => (clients[1]!.steps = '7'), 'updates')).rejects.toThrow(
      /client 'bob'.*'steps': 7 steps; must be 0/,
    )
  })
})

test('a state of another round or start than the one that is closed is refused', async () => {
  await expect(forged(() => {}, 'sums', 'examples', { round: 2 })).rejects.toThrow(
    /client 'ann'.*round 1; must be round 2/,
  )
  const start = { startSha256: 'f'.repeat(64) }
  await expect(forged(() => {}, 'sums', 'examples', start)).rejects.toThrow(/client 'ann'.*'start'/)
})
