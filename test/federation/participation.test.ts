/** Who takes part, and when: partial rounds, dropouts, quorums, and federations on a clock. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type SimulateOptions, simulate } from '../../src/federation/simulate.js'
import { readMetrics } from '../../src/run/metrics.js'
import type { PlanOptions } from '../../src/update/create-plan.js'
import type { Plan } from '../../src/update/plan.js'
import { bits, distance, type TinyFederation, tinyFederation } from './tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation({ rounds: 2, epochs: 1 }, ['north', 'east', 'south', 'west'])
})
afterAll(() => tiny[Symbol.asyncDispose]())

const planOf = (o: PlanOptions = {}) => tiny.planOf({ rounds: 2, epochs: 1, aggregateRank: 16, ...o })
const run = (plan: Plan, o: SimulateOptions = {}) =>
  simulate(tiny.base, tiny.clients, plan, { threads: 2, compare: [`${plan.rounds}x${plan.train.epochs}`], ...o })
const events = async (folder: string, event: string) =>
  (await readMetrics(join(folder, 'metrics.jsonl'))).events.filter((one) => one.event === event)

describe('a part of the clients', () => {
  it('trains and travels each round, drawn anew', async () => {
    const folder = join(tiny.folder, 'half')
    const all = await run(await planOf())
    const half = await run(await planOf({ rounds: 4, fraction: 0.5 }), { folder, compare: ['2x1', '4x1'] })
    const [two, four] = half.arms
    expect(two!.bytesUp / all.arms[0]!.bytesUp).toBeCloseTo(0.5, 1)
    expect(four!.bytesUp).toBeGreaterThan(two!.bytesUp)
    const turnouts = await events(folder, 'turnout')
    expect(turnouts).toHaveLength(6)
    const asked = turnouts.slice(2).map((event) => (event.asked as string[]).join())
    expect(new Set(asked).size).toBeGreaterThan(1)
    for (const names of asked) expect(names.split(',')).toHaveLength(2)
    // The rounds that two arms share have the same clients.
    expect(turnouts.slice(0, 2).map(({ asked }) => asked)).toEqual(turnouts.slice(2, 4).map(({ asked }) => asked))
  })

  it('is the same for any concurrency', async () => {
    const plan = await planOf({ fraction: 0.5 })
    const one = await run(plan)
    expect(bits((await run(plan, { concurrency: 2 })).adapter)).toEqual(bits(one.adapter))
  })
})

describe('a quorum that is missed', () => {
  it('stops the run by name; resumed, the round is drawn anew and what was done stays', async () => {
    const folder = join(tiny.folder, 'quorum')
    const plan = await planOf({ rounds: 3, minimumClients: 3 })
    const conditions = { clientDropout: 0.4 }
    const refusals: string[] = []
    let result: Awaited<ReturnType<typeof run>> | undefined
    for (let tries = 0; tries < 60 && result === undefined; tries++) {
      try {
        result = await run(plan, { folder, conditions, resume: tries > 0 })
      } catch (error) {
        expect(error).toMatchObject({ code: 'REFUSED', fix: expect.stringContaining('--resume') })
        refusals.push((error as Error).message)
      }
    }
    expect(result).toBeDefined()
    expect(refusals.length).toBeGreaterThan(0)
    expect(refusals[0]).toMatch(/^Round \d has too few updates to be closed \(attempt 1\)\.$/)
    expect(new Set(refusals).size).toBe(refusals.length)
    const closings = await events(folder, 'aggregate')
    expect(closings.map(({ round }) => round)).toEqual([1, 2, 3])
  })

  it('cannot be resumed under other conditions', async () => {
    const folder = join(tiny.folder, 'conditions')
    await run(await planOf(), { folder, conditions: { clientDropout: 0.1 } })
    await expect(
      run(await planOf(), { folder, resume: true, conditions: { clientDropout: 0.2 } }),
    ).rejects.toMatchObject({ code: 'MISMATCH' })
  })
})

describe('fedbuff', () => {
  it('with a buffer of all clients who are equally fast is fedavg', async () => {
    for (const start of ['carried', 'fresh'] as const) {
      const rounds = await run(await planOf({ start }))
      const buffered = await run(await planOf({ start, strategy: 'fedbuff', buffer: 4 }))
      expect(distance(buffered.adapter, rounds.adapter), start).toBeLessThan(1e-5)
      expect(buffered.arms[0]!.bytesUp).toBe(rounds.arms[0]!.bytesUp)
    }
  })

  it('meets stale updates where clients differ, in the order of the clock', async () => {
    const folder = join(tiny.folder, 'buffered')
    const conditions = { durationSpread: 0.8 }
    const plan = await planOf({ rounds: 3, strategy: 'fedbuff', buffer: 2 })
    const { arms, adapter } = await run(plan, { folder, conditions })
    const arrivals = await events(folder, 'arrival')
    expect(arrivals).toHaveLength(12)
    const clocks = arrivals.map(({ clock }) => clock as number)
    expect(clocks).toEqual([...clocks].sort((x, y) => x - y))
    expect(arrivals.map(({ version }) => version)).toEqual([0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6])
    const staleness = arrivals.map((event) => event.staleness as number)
    expect(Math.max(...staleness)).toBeGreaterThan(0)
    expect(arms[0]!.clock).toBe(clocks.at(-1))
    // Neither the number at once nor a second run changes a bit.
    expect(bits((await run(plan, { conditions, concurrency: 3 })).adapter)).toEqual(bits(adapter))
    const own = (name: string) => arrivals.filter(({ client }) => client === name).map(({ round }) => round)
    for (const name of Object.keys(tiny.clients)) expect(own(name)).toEqual([1, 2, 3])
  })

  it('goes on after a stop with the same bits', async () => {
    const plan = await planOf({ strategy: 'fedbuff', buffer: 2 })
    const conditions = { durationSpread: 0.5, clientDropout: 0.2 }
    const whole = await run(plan, { conditions })
    const folder = join(tiny.folder, 'buffered-stop')
    const controller = new AbortController()
    let updates = 0
    const stopped = run(plan, {
      conditions,
      folder,
      signal: controller.signal,
      onProgress: ({ done }) => void (done === 0 && ++updates === 4 && controller.abort()),
    })
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' })
    expect(bits((await run(plan, { conditions, folder, resume: true })).adapter)).toEqual(bits(whole.adapter))
  })
})

describe('one round under asynchronous arrival', () => {
  it('serves a better and better mean, and ends at the one-shot mean bit for bit', async () => {
    const folder = join(tiny.folder, 'running')
    const waited = await run(await planOf({ rounds: 1, epochs: 2 }))
    const plan = await planOf({ rounds: 1, epochs: 2, strategy: 'running-mean' })
    for (const seed of [1, 2]) {
      const conditions = { durationSpread: seed }
      const { adapter } = await run(plan, { conditions, ...(seed === 1 ? { folder } : {}) })
      expect(bits(adapter)).toEqual(bits(waited.adapter))
    }
    const arrivals = await events(folder, 'arrival')
    expect(arrivals.map(({ version }) => version)).toEqual([1, 2, 3, 4])
    const last = arrivals.at(-1)!
    expect(last.loss as number).toBeCloseTo(waited.arms[0]!.overall.loss, 4)
    expect(last.loss).not.toBe(arrivals[0]!.loss)
  })

  it('closes with who has come, where the quorum is met', async () => {
    const conditions = { clientDropout: 0.5 }
    const few = await run(await planOf({ rounds: 1, strategy: 'running-mean' }), { conditions })
    const all = await run(await planOf({ rounds: 1 }))
    expect(few.arms[0]!.bytesUp).toBeLessThan(all.arms[0]!.bytesUp)
    const strict = await planOf({ rounds: 1, strategy: 'running-mean', minimumClients: 4 })
    await expect(run(strict, { conditions })).rejects.toMatchObject({ code: 'REFUSED' })
  })
})
