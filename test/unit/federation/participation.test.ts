import { describe, expect, it } from 'vitest'
import {
  type Conditions,
  calm,
  checkConditions,
  checkQuorum,
  durationOf,
  everybody,
  turnoutOf,
} from '../../../src/federation/participation.js'

const clients = Array.from({ length: 20 }, (_, i) => `client-${String(i).padStart(2, '0')}`)
const rough: Conditions = { clientDropout: 0.2, durationSpread: 1, deadline: 2 }

describe('a turnout', () => {
  it('is everybody, on time, where nothing else is said', () => {
    expect(turnoutOf(clients, 7, 1, 0, everybody, calm)).toEqual({
      asked: clients,
      arriving: clients,
      dropped: [],
      late: [],
      seconds: 1,
    })
  })

  it('is the same for the same seed, round and attempt, and knows no order of clients', () => {
    const half = { fraction: 0.5, minimumClients: 1 }
    const first = turnoutOf(clients, 7, 3, 0, half, rough)
    expect(turnoutOf([...clients].reverse(), 7, 3, 0, half, rough)).toEqual(first)
    for (const [seed, round, attempt] of [
      [8, 3, 0],
      [7, 4, 0],
      [7, 3, 1],
    ] as const)
      expect(turnoutOf(clients, seed, round, attempt, half, rough), `${seed} ${round} ${attempt}`).not.toEqual(first)
  })

  it('asks the fraction, never nobody, and loses nobody without a word', () => {
    for (const [fraction, count] of [
      [0.5, 10],
      [0.26, 5],
      [0.001, 1],
    ] as const) {
      for (let round = 1; round <= 5; round++) {
        const { asked, arriving, dropped, late } = turnoutOf(
          clients,
          0,
          round,
          0,
          { fraction, minimumClients: 1 },
          rough,
        )
        expect(asked).toHaveLength(count)
        expect([...arriving, ...dropped, ...late].sort()).toEqual(asked)
      }
    }
  })

  it('asks everybody equally often and drops as often as it says', () => {
    const times = new Map(clients.map((name) => [name, 0]))
    let [asked, dropped] = [0, 0]
    for (let round = 1; round <= 2000; round++) {
      const turnout = turnoutOf(clients, 3, round, 0, { fraction: 0.25, minimumClients: 1 }, rough)
      asked += turnout.asked.length
      dropped += turnout.dropped.length
      for (const name of turnout.asked) times.set(name, times.get(name)! + 1)
    }
    // 2000 draws of 1/4: 500 +- 5 standard deviations of 19.4
    for (const [name, count] of times) expect(Math.abs(count - 500), name).toBeLessThan(97)
    expect(Math.abs(dropped / asked - 0.2)).toBeLessThan(0.02)
  })

  it('closes at the deadline where it waits for somebody', () => {
    const turnouts = Array.from({ length: 20 }, (_, i) => turnoutOf(clients, 5, i + 1, 0, everybody, rough))
    expect(turnouts.some(({ late }) => late.length > 0)).toBe(true)
    for (const { late, dropped, seconds } of turnouts) {
      if (late.length + dropped.length > 0) expect(seconds).toBe(2)
      else expect(seconds).toBeLessThanOrEqual(2)
    }
  })
})

describe('durations', () => {
  it('have the median 1 and the spread that is asked for', () => {
    const logs = clients.flatMap((_, client) =>
      Array.from({ length: 200 }, (_, visit) =>
        Math.log(durationOf(1, client * 53, visit, { ...calm, durationSpread: 0.5 })),
      ),
    )
    const mean = logs.reduce((sum, value) => sum + value, 0) / logs.length
    const deviation = Math.sqrt(logs.reduce((sum, value) => sum + (value - mean) ** 2, 0) / logs.length)
    // the 20 clients' own speeds are the rough part of both
    expect(Math.abs(mean)).toBeLessThan(0.3)
    expect(deviation).toBeGreaterThan(0.35)
    expect(deviation).toBeLessThan(0.65)
    expect(durationOf(1, 3, 9, calm)).toBe(1)
  })
})

describe('a quorum', () => {
  it('that is missed names the round, who is missing and what to do', () => {
    const turnout = { asked: ['a', 'b', 'c'], arriving: ['b'], dropped: ['a'], late: ['c'], seconds: 2 }
    checkQuorum(2, 0, turnout, { fraction: 1, minimumClients: 1 })
    expect(() => checkQuorum(2, 0, turnout, { fraction: 1, minimumClients: 2 })).toThrow(
      expect.objectContaining({
        code: 'REFUSED',
        message: 'Round 2 has too few updates to be closed (attempt 1).',
        found: '1 of 3 asked: a dropped out, c late',
        expected: 'at least 2 (minimumClients)',
        fix: expect.stringContaining('--resume'),
      }),
    )
  })
})

it('conditions that mean nothing are refused by name', () => {
  expect(checkConditions({ clientDropout: 0.1 })).toEqual({ ...calm, clientDropout: 0.1 })
  for (const wrong of [
    { clientDropout: 1 },
    { clientDropout: -0.1 },
    { durationSpread: Number.NaN },
    { deadline: 0 },
  ]) {
    expect(() => checkConditions(wrong)).toThrow(
      expect.objectContaining({ code: 'ARGUMENT', message: expect.stringContaining(Object.keys(wrong)[0]!) }),
    )
  }
})
