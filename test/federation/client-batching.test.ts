/** Clients that step together: each gets the bits that it gets alone. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type SimulateOptions, simulate } from '../../src/federation/simulate.js'
import { readMetrics } from '../../src/run/metrics.js'
import { JointSessions, jointShape } from '../../src/train/joint.js'
import { initialStart } from '../../src/train/start.js'
import { trainFrom } from '../../src/train/train.js'
import type { PlanOptions } from '../../src/update/create-plan.js'
import type { Plan } from '../../src/update/plan.js'
import { serializeUpdate } from '../../src/update/update.js'
import { type TinyFederation, tinyFederation } from './tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation({}, ['north', 'east', 'south', 'west'])
})
afterAll(() => tiny[Symbol.asyncDispose]())

/** Every file that clients sent in a run, by its place in the folder. */
function sent(folder: string): Map<string, Buffer> {
  const names = readdirSync(join(folder, 'updates'), { recursive: true, encoding: 'utf8' })
  const files = names.filter((name) => name.endsWith('.safetensors')).sort()
  return new Map(files.map((name) => [name, readFileSync(join(folder, 'updates', name))]))
}

let runs = 0
async function run(o: PlanOptions, more: SimulateOptions): Promise<Map<string, Buffer>> {
  const folder = join(tiny.folder, `run-${runs++}`)
  await simulate(tiny.base, tiny.clients, await tiny.planOf(o), { threads: 2, folder, ...more })
  return sent(folder)
}

// Clients have 6 to 9 trained examples: with batches of one their steps differ in number, and a group shrinks.
const plans: Record<string, PlanOptions> = {
  'LoRA with dropout': {},
  'LoRA in f32, batches of one': { compute: 'f32', batch: 1, dropout: 0 },
  'ffa (B alone)': { trainable: 'ffa' },
  'fed-sb (cores), with dropout': { trainable: 'fed-sb' },
  fedprox: { strategy: 'fedprox', mu: 0.1 },
  scaffold: { strategy: 'scaffold', start: 'fresh', optimizer: 'sgd', clipNorm: 0, learningRate: 0.1 },
  'early stopping': { evaluateEvery: 1, patience: 2, epochs: 4, learningRate: 0.05 },
  'clients that keep their optimizer': { optimizerState: 'kept' },
}

describe('every update has the bits of a client alone', () => {
  it.each(Object.entries(plans))('%s', { timeout: 120_000 }, async (_, plan) => {
    const compare = ['2x1'] as const
    const o = { ...plan, rounds: 2, epochs: plan.epochs ?? 1 }
    const arms = { compare: o.epochs === 1 ? compare : ([`2x${o.epochs}`] as const) }
    const alone = await run(o, { ...arms, clientBatching: 1 })
    expect(alone.size).toBeGreaterThanOrEqual(8)
    for (const clientBatching of [2, 4]) {
      const together = await run(o, { ...arms, clientBatching })
      expect([...together.keys()]).toEqual([...alone.keys()])
      for (const [name, bytes] of together) expect(bytes.equals(alone.get(name) as Buffer), name).toBe(true)
    }
  })

  it('wherever a run was stopped', { timeout: 240_000 }, async () => {
    const o = { rounds: 2, epochs: 1 }
    const alone = await run(o, { compare: ['2x1'], clientBatching: 1 })
    const folder = join(tiny.folder, 'stopped')
    const plan = await tiny.planOf(o)
    let stops = 0
    for (let ended = false; !ended; ) {
      const controller = new AbortController()
      let steps = 0
      await simulate(tiny.base, tiny.clients, plan, {
        compare: ['2x1'],
        clientBatching: 3,
        folder,
        resume: true,
        threads: 2,
        signal: controller.signal,
        onProgress: () => {
          if (++steps === 11) controller.abort()
        },
      }).then(
        () => {
          ended = true
        },
        (error) => {
          expect(error).toMatchObject({ code: 'ABORTED' })
          stops++
        },
      )
    }
    expect(stops).toBeGreaterThan(1)
    for (const [name, bytes] of sent(folder)) expect(bytes.equals(alone.get(name) as Buffer), name).toBe(true)
  })
})

describe('a group', () => {
  const visit = (joint: JointSessions, client: string, signal?: AbortSignal, onStep?: () => void) =>
    trainFrom(tiny.base, tiny.clients[client]!, tiny.plan, initialStart(tiny.plan), {
      client,
      threads: 2,
      sessions: joint.visit(),
      signal,
      onStep,
    }).then(serializeUpdate)
  const group = () =>
    new JointSessions(
      tiny.base,
      jointShape(tiny.base, Object.values(tiny.clients), tiny.plan, { threads: 2, most: 4 })!,
    )
  const alone = async (client: string) =>
    serializeUpdate(
      await trainFrom(tiny.base, tiny.clients[client]!, tiny.plan, initialStart(tiny.plan), { client, threads: 1 }),
    )

  it('goes on without a client that is stopped, to the same bits', async () => {
    using joint = group()
    const controller = new AbortController()
    const [north, east, south] = await Promise.allSettled([
      visit(joint, 'north'),
      visit(joint, 'east', controller.signal, () => controller.abort()),
      visit(joint, 'south'),
    ])
    expect(east).toMatchObject({ status: 'rejected', reason: { code: 'ABORTED' } })
    expect(north).toEqual({ status: 'fulfilled', value: await alone('north') })
    expect(south).toEqual({ status: 'fulfilled', value: await alone('south') })
  })

  it('goes on without a client whose loss is not finite', async () => {
    using joint = group()
    const poisoned = joint.visit()
    const sessions = {
      acquire: (options: Parameters<typeof poisoned.acquire>[0]) => {
        const session = poisoned.acquire(options)
        const set = session.setParameters.bind(session)
        session.setParameters = (values) => set(values.map(() => Number.NaN))
        return session
      },
      release: poisoned.release,
    }
    const [bad, good] = await Promise.allSettled([
      trainFrom(tiny.base, tiny.clients.east!, tiny.plan, initialStart(tiny.plan), {
        client: 'east',
        threads: 2,
        sessions,
      }),
      visit(joint, 'north'),
    ])
    expect(bad).toMatchObject({ status: 'rejected', reason: { code: 'NUMERIC' } })
    expect(good).toEqual({ status: 'fulfilled', value: await alone('north') })
  })

  it('takes no more clients at once than it has room for', async () => {
    const shape = jointShape(tiny.base, Object.values(tiny.clients), tiny.plan, { threads: 2, most: 2 })!
    using joint = new JointSessions(tiny.base, shape)
    const three = await Promise.allSettled(['north', 'east', 'south'].map((client) => visit(joint, client)))
    expect(three.filter(({ status }) => status === 'rejected')).toMatchObject([{ reason: { code: 'ARGUMENT' } }])
  })
})

describe('who steps together', () => {
  const shape = async (o: PlanOptions, most?: number) =>
    jointShape(tiny.base, Object.values(tiny.clients), await tiny.planOf(o), { threads: 2, most })

  it('groups are even, and no larger than asked', async () => {
    expect(await shape({ batch: 1 }, 3)).toMatchObject({ clients: 2 })
    expect(await shape({ batch: 1 }, 64)).toMatchObject({ clients: 4 })
  })

  it('nobody where steps are large, or whole tensors train', async () => {
    expect(await shape({ batch: 1 })).toMatchObject({ clients: 4 })
    expect(await shape({ batch: 64 })).toBeUndefined()
    const whole = { ...tiny.plan, train: { ...tiny.plan.train, trainable: { kind: 'full', tensors: [] } } } as Plan
    const full = jointShape(tiny.base, Object.values(tiny.clients), whole, {
      threads: 2,
    })
    expect(full).toBeUndefined()
  })

  it('a count is a count', async () => {
    const wrong = simulate(tiny.base, tiny.clients, tiny.plan, { clientBatching: 0 })
    await expect(wrong).rejects.toMatchObject({ code: 'ARGUMENT', expected: '1 to 1024' })
  })

  it('by default those whose steps are small, step by step; their seconds are their own share', async () => {
    const folder = join(tiny.folder, 'seconds')
    const began = performance.now()
    const plan = await tiny.planOf({ batch: 1, epochs: 12 })
    await simulate(tiny.base, tiny.clients, plan, { compare: ['1x12'], folder, threads: 2 })
    const { events } = await readMetrics(join(folder, 'metrics.jsonl'))
    const steps = events.filter(({ event }) => event === 'step').map(({ client }) => client)
    const turns = steps.filter((client, i) => i > 0 && client !== steps[i - 1]).length
    expect(turns).toBeGreaterThan(steps.length / 2)
    const seconds = events.filter(({ event }) => event === 'update').map((event) => Number(event.seconds))
    expect(seconds).toHaveLength(4)
    for (const one of seconds) expect(one).toBeGreaterThan(0)
    // Four that counted each other's steps would say nearly three times the whole. What lies between steps (events, the
    // next batch) is interleaved and counts for each, which is why the sum may be a little more than the whole.
    const whole = (performance.now() - began) / 1000
    expect(seconds.reduce((sum, one) => sum + one, 0)).toBeLessThan(2 * whole)
  })
})
