/** What must hold whatever the numbers are. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadAdapter } from '../../src/adapter/folder.js'
import { closeRound } from '../../src/federation/server.js'
import { simulate } from '../../src/federation/simulate.js'
import type { NativeSession } from '../../src/native/binding/session.js'
import { native } from '../../src/native/load.js'
import { prepare } from '../../src/train/prepare.js'
import { SessionPool } from '../../src/train/session.js'
import { startOfRound } from '../../src/train/start.js'
import { train } from '../../src/train/train.js'
import type { Plan } from '../../src/update/plan.js'
import { parseUpdate, serializeUpdate } from '../../src/update/update.js'
import { bits, distance, type TinyFederation, tinyFederation } from './tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation()
})
afterAll(() => tiny[Symbol.asyncDispose]())

/** What `train` asks a pool for, for client east. */
const optionsOf = (plan: Plan) =>
  prepare(tiny.clients.east!, plan, startOfRound(plan, 1, undefined), native().cpu().cores, false).session

/** A session that goes on from wherever it is. */
function keepingParameters(session: NativeSession): NativeSession {
  return new Proxy(session, {
    get(target, key) {
      if (key === 'setParameters') return () => undefined
      const member: unknown = Reflect.get(target, key, target)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

const update = (client: string, o: object = {}) => train(tiny.base, tiny.clients[client]!, tiny.plan, { client, ...o })

describe('one client', () => {
  it('is its own adapter', async () => {
    const plan = await tiny.planOf({ clients: ['north'], weights: 'uniform' })
    const own = await train(tiny.base, tiny.clients.north!, plan, { client: 'north' })
    const { adapter } = await simulate(tiny.base, { north: tiny.clients.north! }, plan, { compare: ['1x2'] })
    expect(distance(adapter, own.adapter)).toBeLessThan(1e-5)
    expect(distance(startOfRound(plan, 1, undefined).trained, own.adapter)).toBeGreaterThan(0.9)
  })

  it('learns: the held-out loss falls', async () => {
    const { info } = await update('north')
    expect(info.lossAfter!).toBeLessThan(info.lossBefore! - 0.01)
  })
})

describe('equal clients', () => {
  it('are that client: names change nothing', async () => {
    const plan = await tiny.planOf({ clients: ['a', 'b', 'c'] })
    const data = tiny.clients.east!
    const { adapter } = await simulate(tiny.base, { a: data, b: data, c: data }, plan, { compare: ['1x2'] })
    const own = await train(tiny.base, data, plan, { client: 'b' })
    expect(distance(adapter, own.adapter)).toBeLessThan(1e-5)
  })
})

describe('the same bits', () => {
  it('for any number of threads', async () => {
    const one = serializeUpdate(await update('south', { threads: 1 }))
    for (const threads of [2, 3])
      expect(serializeUpdate(await update('south', { threads })), `${threads} threads`).toEqual(one)
  })

  it('for any order of clients and any concurrency', async () => {
    const options = { compare: ['2x1'] as const, threads: 2 }
    const plan = await tiny.planOf({ rounds: 2, epochs: 1 })
    const { adapter } = await simulate(tiny.base, tiny.clients, plan, options)
    const reversed = Object.fromEntries(Object.entries(tiny.clients).reverse())
    expect(bits((await simulate(tiny.base, reversed, plan, options)).adapter)).toEqual(bits(adapter))
    for (const concurrency of [2, 3]) {
      expect(
        bits((await simulate(tiny.base, reversed, plan, { ...options, concurrency })).adapter),
        `${concurrency} at once`,
      ).toEqual(bits(adapter))
    }
  })

  it('for any order in which the server gets the updates', async () => {
    const start = startOfRound(tiny.plan, 1, undefined)
    const updates = [await update('north'), await update('east'), await update('south')].map((one) =>
      serializeUpdate(one),
    )
    const [first, second] = [
      await closeRound(tiny.plan, start, updates),
      await closeRound(tiny.plan, start, [...updates].reverse()),
    ]
    if (!first.last || !second.last) throw new Error('a plan of one round ends with its first')
    expect(bits(second.served.adapter)).toEqual(bits(first.served.adapter))
  })
})

describe('clients share memory and nothing else', () => {
  // Public code of this lineage lets client i start where client i-1 ended, because they share one model object.
  it('starts every client from the same start, in a session that another one used', async () => {
    using sessions = new SessionPool(tiny.base)
    await update('north', { sessions })
    const after = serializeUpdate(await update('east', { sessions }))
    expect(after).toEqual(serializeUpdate(await update('east')))
    expect(serializeUpdate(await update('east', { sessions }))).toEqual(after)
  })

  it('would be seen if it were otherwise: a session that keeps its state gives another update', async () => {
    using sessions = new SessionPool(tiny.base)
    await update('north', { sessions })
    const session = sessions.acquire(optionsOf(await tiny.planOf({})))
    const keeping = keepingParameters(session)
    const leaking = { acquire: () => keeping, release: () => undefined } as unknown as SessionPool
    const leaked = serializeUpdate(await update('east', { sessions: leaking }))
    expect(leaked).not.toEqual(serializeUpdate(await update('east')))
    sessions.release(session)
  })
})

describe('a simulation is the federation by file', () => {
  it.each([1, 3])('with %i rounds, bit for bit after every round', async (rounds) => {
    const plan = await tiny.planOf({ rounds, epochs: 1, weights: 'tokens' })
    const folder = `${tiny.folder}/by-file-${rounds}`
    const run = await simulate(tiny.base, tiny.clients, plan, { compare: [`${rounds}x1`], folder: `${folder}/run` })
    for (let round = 1; round <= rounds; round++) {
      const before = round === 1 ? undefined : await loadAdapter(`${folder}/after-${round - 1}`)
      const files: string[] = []
      for (const client of ['south', 'north', 'east']) {
        const sent = await train(tiny.base, tiny.clients[client]!, plan, {
          client,
          round,
          ...(before ? { start: before } : {}),
        })
        const file = `${folder}/${client}-${round}.update.safetensors`
        await sent.save(file)
        files.push(file)
      }
      const closed = await closeRound(plan, startOfRound(plan, round, before), files)
      const after = closed.last ? closed.served.adapter : closed.exact
      await after.save(`${folder}/after-${round}`)
      const simulated = closed.last ? run.adapter : await loadAdapter(`${folder}/run/state/${rounds}x1/${round}`)
      expect(bits(after), `round ${round}`).toEqual(bits(simulated))
    }
  })
})

describe('rounds', () => {
  it('carry the exact aggregate: ranks grow at the server and not at the clients', async () => {
    const plan = await tiny.planOf({ rounds: 2, epochs: 1 })
    const start = startOfRound(plan, 1, undefined)
    const updates = []
    for (const client of Object.keys(tiny.clients))
      updates.push(await train(tiny.base, tiny.clients[client]!, plan, { client }))
    const closed = await closeRound(plan, start, updates)
    if (closed.last) throw new Error('a round follows')
    const next = startOfRound(plan, 2, closed.exact)
    expect(closed.exact.layers.every((layer) => layer.rank > 3)).toBe(true)
    expect(next.trained.layers.every((layer) => layer.rank === 3)).toBe(true)
    const whole = next.trained.layers.map((layer, i) => ({ layer, rest: next.overlay[i]! }))
    for (const { layer, rest } of whole) {
      expect(rest.layer).toBe(layer.name)
      const exact = closed.exact.layers.find((one) => one.name === layer.name)!
      expect(layer.rank + rest.rank).toBe(exact.rank)
    }
    // A client that learns nothing in round 2 gives the aggregate back: trained part + rest is the whole.
    const still = await tiny.planOf({ rounds: 2, epochs: 1, learningRate: 1e-12, weights: 'uniform' })
    const unmoved = []
    for (const client of Object.keys(tiny.clients)) {
      unmoved.push(await train(tiny.base, tiny.clients[client]!, still, { client, round: 2, start: closed.exact }))
    }
    const end = await closeRound(still, startOfRound(still, 2, closed.exact), unmoved, {
      finish: { method: 'svd', rank: 16 },
    })
    if (!end.last) throw new Error('the plan has two rounds')
    expect(distance(end.served.adapter, closed.exact)).toBeLessThan(1e-5)
  })

  it('refuses an update of another round, plan or client', async () => {
    const plan = await tiny.planOf({ rounds: 2, epochs: 1 })
    const one = await train(tiny.base, tiny.clients.north!, plan, { client: 'north' })
    const start = startOfRound(plan, 1, undefined)
    await expect(closeRound(plan, { ...start, round: 2 }, [one])).rejects.toMatchObject({ code: 'REFUSED' })
    await expect(closeRound(plan, { ...start, sha256: '0'.repeat(64) }, [one])).rejects.toMatchObject({
      code: 'REFUSED',
    })
    await expect(closeRound(tiny.plan, startOfRound(tiny.plan, 1, undefined), [one])).rejects.toMatchObject({
      code: 'REFUSED',
    })
    await expect(closeRound(plan, start, [one, one])).rejects.toMatchObject({ code: 'REFUSED' })
    await expect(train(tiny.base, tiny.clients.north!, plan, { client: 'north', round: 2 })).rejects.toMatchObject({
      code: 'ARGUMENT',
    })
    await expect(train(tiny.base, tiny.clients.north!, plan, { client: 'north', round: 3 })).rejects.toMatchObject({
      code: 'ARGUMENT',
    })
  })
})

describe('what leaves', () => {
  it('is only what the plan shares', async () => {
    const plan = await tiny.planOf({ share: [], weights: 'uniform' })
    const sent = await train(tiny.base, tiny.clients.north!, plan, { client: 'north' })
    expect(Object.keys(parseUpdate(serializeUpdate(sent), plan).info).sort()).toEqual([
      'client',
      'planSha256',
      'round',
      'startSha256',
    ])
    const { info } = await update('north')
    expect(info).toMatchObject({ examples: 6 })
    expect(Object.keys(info)).toContain('lossAfter')
  })
})
