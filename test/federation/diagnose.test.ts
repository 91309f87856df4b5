/** Diagnoses of tiny federations, end to end: what each kind of evidence finds, what it leaves unknown, what it refuses. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Adapter } from '../../src/adapter/adapter.js'
import { resolveWeights } from '../../src/aggregate/weights.js'
import { hasGrown } from '../../src/diagnose/client-evidence.js'
import { diagnose } from '../../src/diagnose/diagnose.js'
import { makeLosses, readLosses, writeLosses } from '../../src/diagnose/losses-file.js'
import { readRunEvidence } from '../../src/diagnose/run-evidence.js'
import { type Diagnosis, isKnown } from '../../src/diagnose/types.js'
import { simulate } from '../../src/federation/simulate.js'
import { train } from '../../src/train/train.js'
import { createPlan } from '../../src/update/create-plan.js'
import { parsePlan } from '../../src/update/plan.js'
import { makeUpdate, serializeUpdate, type Update } from '../../src/update/update.js'
import { effects, settings, type TinyFederation, tinyFederation } from './tiny.js'

let tiny: TinyFederation
const runs: string[] = []
beforeAll(async () => {
  tiny = await tinyFederation({ heldOut: 0.4, epochs: 1, rounds: 2, dropout: 0 })
  for (const seed of [0, 1, 2]) {
    const folder = join(tiny.folder, `run-${seed}`)
    const plan = await tiny.planOf({ heldOut: 0.4, epochs: 1, rounds: 2, dropout: 0, seed })
    await simulate(tiny.base, tiny.clients, plan, { folder, compare: ['base', '1x2', '2x1', 'pooled'] })
    runs.push(folder)
  }
})
afterAll(() => tiny[Symbol.asyncDispose]())

/** Every number of a diagnosis is a number: JSON would turn others into null. */
function expectSound(d: Diagnosis) {
  const walk = (value: unknown, path: string): void => {
    if (typeof value === 'number') expect(Number.isFinite(value), path).toBe(true)
    if (typeof value === 'object' && value !== null)
      for (const [key, part] of Object.entries(value)) walk(part, `${path}.${key}`)
  }
  walk(d, 'diagnosis')
  expect(JSON.parse(JSON.stringify(d))).toEqual(d)
}

/** All tensors' effects, one behind the other. */
function vectorOf(adapter: Adapter): Float64Array {
  return Float64Array.from([...effects(adapter).values()].flatMap((values) => [...values]))
}

const norm = (x: Float64Array) => Math.hypot(...x)
const dot = (x: Float64Array, y: Float64Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0)

describe('a simulation', () => {
  test('of three seeds compares the arms it ran, from files alone', async () => {
    const d = await diagnose({ run: runs, margin: { nats: 10 } })
    expectSound(d)
    expect(d.evidence).toBe('simulation')
    if (!isKnown(d.comparison) || !isKnown(d.gap) || !isKnown(d.similarity) || !isKnown(d.best))
      throw new Error('unknown')
    expect(d.comparison).toMatchObject({ one: '1x2', several: '2x1', seeds: [0, 1, 2] })
    // 27 examples, of which 4, 3 or 4 a client are held out, the same ones under every seed.
    expect(d.comparison.items).toBe(11)
    expect(d.gap.epsilon).toBeGreaterThan(0)
    expect(d.gap.relative).toBeLessThan(2)
    expect(d.best.candidates).toEqual({ one: 1, several: 1 })
    expect(d.travel).toHaveProperty('unknown')
    expect(d.smoothness).toHaveProperty('unknown')
    // Eleven examples carry no verdict, whatever the margin.
    expect(d.verdict.kind).toBe('not-enough-evidence')
    expect(d.verdict.missing[0]?.reason).toMatch(/11 held-out examples/)
  })

  test('with an ablation is diagnosed without it, and gives it where it is asked for', async () => {
    const folder = join(tiny.folder, 'ablation')
    const leak = '1x2:shared-object-leak'
    await simulate(tiny.base, tiny.clients, tiny.plan, { folder, compare: ['base', '1x2', leak] })
    expect([...(await readRunEvidence(folder)).arms.keys()]).toEqual(['base', '1x2'])
    const { arms, items } = await readRunEvidence(folder, { ablations: true })
    expect([arms.has(leak), items.has(leak)]).toEqual([true, true])
    rmSync(folder, { recursive: true })
  })

  test('of one seed says that it is one', async () => {
    const d = await diagnose({ run: runs[0]! })
    expect(d.verdict.kind).toBe('not-enough-evidence')
    expect(d.verdict.missing.map(({ reason }) => reason).join()).toMatch(/1 seed cannot/)
  })

  test('with base and data knows the reasons too', async () => {
    const d = await diagnose({ run: runs, base: tiny.base, clients: tiny.clients, budget: 3 })
    expectSound(d)
    if (!isKnown(d.travel) || !isKnown(d.smoothness) || !isKnown(d.curvature)) throw new Error('unknown')
    if (!isKnown(d.disagreement) || !isKnown(d.lambda) || !isKnown(d.bounds) || !isKnown(d.gap) || !isKnown(d.best))
      throw new Error('unknown')
    // Each arm at five other lambdas beside its own, on both sides alike.
    expect(d.best.candidates).toEqual({ one: 6, several: 6 })
    expect(d.travel.tau).toBeCloseTo(d.travel.distance / d.travel.baseNorm, 12)
    expect(d.travel.path).toHaveLength(2)
    expect(d.smoothness.ends?.draws).toBeGreaterThanOrEqual(4)
    expect(d.disagreement.clients).toHaveLength(3)
    expect(d.disagreement.value).toBeGreaterThan(0)
    expect(d.gap.line?.map(({ t }) => t)).toEqual([0, 0.25, 0.5, 0.75, 1])
    // The re-derived bound has no m and a 2 eta instead: their ratio is that and nothing else.
    const { rounds, clients, eta } = d.bounds.inputs
    expect(d.bounds.published / d.bounds.rederived).toBeCloseTo((rounds * clients) / (2 * eta * (rounds - 1)), 9)
    expect(d.bounds.holds).toBe(false)
    expect(d.lambda.perLayer?.validation).toBeLessThanOrEqual(Math.max(...d.lambda.points.map((p) => p.validation)))
  })

  test('refuses data that is not that of the run', async () => {
    const { north, east } = tiny.clients
    const clients = { ...tiny.clients, north: east!, east: north! }
    await expect(diagnose({ run: runs, base: tiny.base, clients })).rejects.toThrow(
      expect.objectContaining({ code: 'MISMATCH' }),
    )
  })

  test('of full updates measures over the weights themselves', async () => {
    const { rank: _, alpha: __, targets: ___, dropout: ____, ...rest } = settings
    const fields = { ...rest, heldOut: 0.4, epochs: 1, rounds: 2, learningRate: 1e-4 }
    const plan = await createPlan(tiny.base, { ...fields, trainable: 'full', clients: Object.keys(tiny.clients) })
    const folder = join(tiny.folder, 'full')
    await simulate(tiny.base, tiny.clients, plan, { folder, compare: ['base', '1x2', '2x1'] })
    const d = await diagnose({ run: folder, base: tiny.base, clients: tiny.clients, budget: 3 })
    expectSound(d)
    if (!isKnown(d.travel) || !isKnown(d.smoothness) || !isKnown(d.gap) || !isKnown(d.lambda))
      throw new Error('unknown')
    expect(d.travel.tau).toBeGreaterThan(0)
    expect(d.smoothness.ends?.draws).toBeGreaterThanOrEqual(4)
    expect(d.gap.epsilon).toBeGreaterThan(0)
    rmSync(folder, { recursive: true })
  })

  test('whose arm was not finished says which arms it needs', async () => {
    const folder = join(tiny.folder, 'half')
    await simulate(tiny.base, tiny.clients, tiny.plan, { folder, compare: ['base', '1x2'] })
    const d = await diagnose({ run: folder })
    expect(d.verdict).toMatchObject({ kind: 'not-enough-evidence' })
    expect(d.verdict.missing[0]?.enough).toMatch(/2x1/)
    expect(d.gap).toHaveProperty('unknown')
    rmSync(folder, { recursive: true })
  })
})

describe('one client', () => {
  test.each(['full', 'ffa', 'fed-sb'] as const)(
    'that trains %s measures its path over merged weights',
    async (kind) => {
      const { rank, alpha, targets, dropout: _, ...rest } = settings
      const factors = kind === 'full' ? {} : { rank, alpha, targets }
      const fields = { ...rest, ...factors, epochs: 1, rounds: 2, learningRate: 1e-3 }
      const plan = await createPlan(tiny.base, { ...fields, trainable: kind, clients: Object.keys(tiny.clients) })
      const data = tiny.clients.south!
      const d = await diagnose({ plan, base: tiny.base, data, budget: 10 })
      expectSound(d)
      if (!isKnown(d.travel) || !isKnown(d.smoothness) || !isKnown(d.cost)) throw new Error('unknown')
      expect(d.smoothness.ends?.draws).toBeGreaterThan(3)
      expect(d.verdict.missing[0]?.reason).toMatch(new RegExp(`LoRA.*trains '${kind}'`))
      // The path ends where the client's own training of as many epochs ends, and the bytes are those of its update.
      const whole = { ...plan, rounds: 1, train: { ...plan.train, epochs: 2 } }
      const update = await train(tiny.base, data, parsePlan(whole), { client: 'south' })
      expect(d.travel.distance).toBeCloseTo(norm(vectorOf(update.adapter)), 6)
      const sent = serializeUpdate(update).byteLength
      const told = (d.cost.rows.find(({ what }) => what === '1x2')?.bytesUp ?? 0) / plan.clients.length
      expect(told).toBeLessThan(sent)
      expect(sent - told).toBeLessThan(8192)
    },
  )

  test('measures its own path and leaves the others unknown', async () => {
    const d = await diagnose({ plan: tiny.plan, base: tiny.base, data: tiny.clients.south!, budget: 10 })
    expectSound(d)
    if (!isKnown(d.travel) || !isKnown(d.smoothness) || !isKnown(d.cost)) throw new Error('unknown')
    expect(d.travel.of.steps).toBe(d.travel.of.ofSteps)
    expect(d.travel.path[0]).toEqual({ step: 0, tau: 0 })
    expect(d.travel.path.at(-1)?.tau).toBeCloseTo(d.travel.tau, 12)
    expect(d.smoothness.neighbours?.draws).toBeGreaterThan(3)
    expect(d.cost.rows.map(({ what }) => what)).toEqual(['1x2', '2x1'])
    for (const unknown of [d.similarity, d.gap, d.comparison, d.disagreement]) expect(unknown).toHaveProperty('unknown')
    expect(d.spent.rows).toBeLessThanOrEqual(10 * d.spent.trainingRows)
  })

  test('says when the least that can be measured costs more than the budget', async () => {
    const d = await diagnose({ plan: tiny.plan, base: tiny.base, data: tiny.clients.south!, budget: 0.05 })
    expect(d.spent.share).toBeGreaterThan(0.05)
    expect(d.spent.unsettled.length).toBeGreaterThan(0)
    expect(d.notes.join()).toMatch(/more than the budget/)
    expect(d.noise).toEqual({ unknown: 'the budget ended before it' })
  })

  test('of one batch gives no number, and a loss that grows is no training', async () => {
    const one = await tiny.planOf({ batch: 100, epochs: 1, rounds: 2 })
    const single = await diagnose({ plan: one, base: tiny.base, data: tiny.clients.north! })
    expect(single.verdict.missing[0]).toMatchObject({ reason: expect.stringMatching(/one batch/) })
    expect(single.travel).toHaveProperty('unknown')
    expect(hasGrown([5, 4, 6, 7, 8, 9])).toBe(true)
    expect(hasGrown([5, 5.2, 5.3, 4.9, 5.1])).toBe(false)
  })
})

describe('update files', () => {
  const updates = (): Promise<Update[]> =>
    Promise.all(
      Object.keys(tiny.clients).map((client) => train(tiny.base, tiny.clients[client]!, tiny.plan, { client })),
    )

  test('say how alike clients are, and never that one round suffices', async () => {
    const d = await diagnose({ plan: tiny.plan, updates: await updates(), base: tiny.base })
    expectSound(d)
    if (!isKnown(d.similarity) || !isKnown(d.travel)) throw new Error('unknown')
    expect(d.similarity.cosines).toHaveLength(3)
    expect(d.similarity.retention).toBeGreaterThan(0)
    expect(d.similarity.retention).toBeLessThanOrEqual(1 + 1e-9)
    expect(d.similarity.errors.fedit).toBeGreaterThan(d.similarity.errors.svd)
    expect(d.verdict.kind).not.toBe('one-round-suffices')
    for (const unknown of [d.smoothness, d.lambda, d.gap, d.comparison]) expect(unknown).toHaveProperty('unknown')
  })

  test('are compared as their dense products would be', async () => {
    const sent = await updates()
    const d = await diagnose({ plan: tiny.plan, updates: sent, base: tiny.base })
    if (!isKnown(d.similarity)) throw new Error('unknown')
    const { clients, compared, cosines } = d.similarity
    const dense = new Map(sent.map(({ info, adapter }) => [info.client, vectorOf(adapter)]))
    const shares = resolveWeights(
      tiny.plan.aggregate.weights,
      sent.map(({ info }) => info),
    )
    const sum = vectorOf(sent[0]!.adapter).fill(0)
    for (const [client, values] of dense) for (const [i, value] of values.entries()) sum[i]! += shares[client]! * value
    const cosine = (x: Float64Array, y: Float64Array) => dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y))
    const pairs = compared.flatMap((a, i) => compared.slice(i + 1).map((b) => cosine(dense.get(a)!, dense.get(b)!)))
    for (const [i, expected] of pairs.entries()) expect(cosines[i]).toBeCloseTo(expected, 6)
    for (const { client, toAggregate } of clients) expect(toAggregate).toBeCloseTo(cosine(dense.get(client)!, sum), 6)
  })

  test('of clients with one content agree in everything', async () => {
    const [first] = await updates()
    const twins = ['north', 'east', 'south'].map((client) => makeUpdate({ ...first!.info, client }, first!.adapter))
    const d = await diagnose({ plan: tiny.plan, updates: twins })
    if (!isKnown(d.similarity)) throw new Error('unknown')
    expect(d.similarity.meanCosine).toBeCloseTo(1, 9)
    expect(d.similarity.retention).toBeCloseTo(1, 6)
    expect(d.similarity.clients[0]?.effectiveRank).toBeCloseTo(d.similarity.effectiveRank, 5)
  })

  test('of one client disagree with nobody', async () => {
    const [first] = await updates()
    const d = await diagnose({ plan: tiny.plan, updates: [first!] })
    expect(d.verdict.missing[0]?.enough).toMatch(/two clients/)
  })

  test('with the second message have a curve; the message is checked', async () => {
    const [run] = [await simulate(tiny.base, tiny.clients, tiny.plan, { compare: ['1x2'] })]
    const messages = await Promise.all(
      Object.keys(tiny.clients).map((client) =>
        makeLosses(tiny.base, tiny.clients[client]!, tiny.plan, run.adapter, { client }),
      ),
    )
    const file = join(tiny.folder, 'north.losses.json')
    await writeLosses(file, messages[0]!)
    expect(await readLosses(file)).toEqual(messages[0])
    const d = await diagnose({ plan: tiny.plan, updates: await updates(), losses: [file, ...messages.slice(1)] })
    if (!isKnown(d.lambda)) throw new Error('unknown')
    expect(d.lambda.points[0]!.validation).toBeGreaterThan(d.lambda.best.validation)
    const other = { ...messages[1]!, aggregate: '0'.repeat(64) }
    await expect(
      diagnose({ plan: tiny.plan, updates: await updates(), losses: [messages[0]!, other] }),
    ).rejects.toThrow(expect.objectContaining({ code: 'REFUSED' }))
  })
})

test('no evidence, or two kinds at once, is an argument', async () => {
  await expect(diagnose({ plan: tiny.plan })).rejects.toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  await expect(diagnose({ run: runs, budget: -1 })).rejects.toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
})
