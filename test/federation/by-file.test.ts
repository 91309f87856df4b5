/** Federations whose parts know nothing of each other but files: the same bits as simulated ones. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Adapter, closeFiles, loadAdapter, simulate, visit } from '../../src/index.js'
import type { PlanOptions } from '../../src/update/create-plan.js'
import type { Plan } from '../../src/update/plan.js'
import { bits, type TinyFederation, tinyFederation } from './tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation({ rounds: 3, epochs: 1 })
})
afterAll(() => tiny[Symbol.asyncDispose]())

const planOf = (o: PlanOptions = {}) => tiny.planOf({ rounds: 3, epochs: 1, ...o })
const scaffold = {
  strategy: 'scaffold',
  optimizer: 'sgd',
  clipNorm: 0,
  weightDecay: 0,
  learningRate: 0.05,
  start: 'fresh',
} as const

/** One federation's files. */
function place(name: string) {
  const folder = join(tiny.folder, name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  const at = (...parts: string[]) => join(folder, ...parts)
  const update = (client: string, round: number) => at(`${client}.${round}.update.safetensors`)
  return { at, update, start: (round: number) => (round === 1 ? undefined : at(`after${round - 1}`)) }
}

async function trainVisit(plan: Plan, client: string, round: number, files: ReturnType<typeof place>, more: object) {
  const visited = await visit(tiny.base, tiny.clients[client]!, plan, { client, round, threads: 2, ...more })
  return visited.save(files.update(client, round))
}

/** All rounds of a federation by files; nothing but paths goes from one call to the next. */
async function byFiles(name: string, plan: Plan, server = false): Promise<Adapter> {
  const files = place(name)
  const clients = Object.keys(tiny.clients)
  for (let round = 1; round <= plan.rounds; round++) {
    const start = files.start(round)
    for (const client of clients)
      await trainVisit(plan, client, round, files, { start, last: files.update(client, round - 1) })
    const updates = clients.map((client) => files.update(client, round)).reverse()
    const out = files.at(`after${round}`)
    const told = await closeFiles(plan, updates, {
      round,
      start,
      out,
      ...(server ? { server: files.at('server') } : {}),
    })
    expect(told.last).toBe(round === plan.rounds)
  }
  return loadAdapter(files.at(`after${plan.rounds}`))
}

const simulated = async (plan: Plan) =>
  (await simulate(tiny.base, tiny.clients, plan, { compare: [`${plan.rounds}x1`], threads: 2 })).adapter

describe('the bits of a simulation', () => {
  test.each<[string, PlanOptions, boolean]>([
    ['fedavg', {}, false],
    ['scaffold', scaffold, false],
    ['scaffold with a server that goes further', { ...scaffold, serverLearningRate: 1.5, share: ['examples'] }, false],
    ['fedavgm', { strategy: 'fedavgm' }, true],
    ['fedadam, from whole matrices', { strategy: 'fedadam', start: 'fresh' }, true],
    ['optimizers that clients keep', { optimizerState: 'kept' }, false],
  ])('%s', async (name, options, server) => {
    const plan = await planOf(options)
    expect(bits(await byFiles(name.replaceAll(' ', '-'), plan, server))).toEqual(bits(await simulated(plan)))
  })

  test('scaffold of whole tensors', async () => {
    const none = {
      targets: undefined,
      rank: undefined,
      alpha: undefined,
      dropout: undefined,
      start: 'carried',
    } as object
    const plan = await planOf({ ...scaffold, ...none, trainable: 'full', learningRate: 0.01, rounds: 2 })
    expect(bits(await byFiles('full', plan))).toEqual(bits(await simulated(plan)))
  })
})

describe('scaffold by files', () => {
  const folder = 'scaffold-files'
  let plan: Plan
  let files: ReturnType<typeof place>
  beforeAll(async () => {
    plan = await planOf(scaffold)
    await byFiles(folder, plan)
    const kept = join(tiny.folder, folder)
    files = {
      at: (...parts) => join(kept, ...parts),
      update: (client, round) => join(kept, `${client}.${round}.update.safetensors`),
      start: (round) => (round === 1 ? undefined : join(kept, `after${round - 1}`)),
    }
  })

  test('what lies there: a control variate up and down, the own one at home, none after the last round', () => {
    const names = readdirSync(files.at())
    for (const round of [1, 2]) {
      expect(names).toContain(`north.${round}.control.safetensors`)
      expect(names).toContain(`north.${round}.own-control.safetensors`)
      expect(existsSync(files.at(`after${round}`, 'control.safetensors'))).toBe(true)
    }
    expect(names.filter((name) => name.includes('.3.') && name.includes('control'))).toEqual([])
    expect(existsSync(files.at('after3', 'control.safetensors'))).toBe(false)
  })

  test('a client that forgets what it kept is refused; one that is new says so', async () => {
    const start = files.start(2)
    const again = (more: object) =>
      visit(tiny.base, tiny.clients.north!, plan, { client: 'north', round: 2, start, threads: 2, ...more })
    await expect(again({})).rejects.toMatchObject({ code: 'ARGUMENT', fix: expect.stringContaining('--last') })
    const asNew = await again({ last: 'none' })
    expect(bits(asNew.update.adapter)).not.toEqual(
      bits((await again({ last: files.update('north', 1) })).update.adapter),
    )
    await expect(again({ last: files.update('north', 2) })).rejects.toMatchObject({
      code: 'MISMATCH',
      found: 'round 2',
    })
    await expect(again({ last: files.update('south', 1) })).rejects.toMatchObject({ code: 'MISMATCH' })
    await expect(again({ last: files.at('nowhere.update.safetensors') })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('a start whose control variate is gone, or of another round, is refused', async () => {
    const broken = files.at('broken')
    cpSync(files.at('after1'), broken, { recursive: true })
    const o = { client: 'north', round: 2, start: broken, last: files.update('north', 1), threads: 2 }
    const go = () => visit(tiny.base, tiny.clients.north!, plan, o)
    writeFileSync(join(broken, 'control.safetensors'), readFileSync(files.at('after2', 'control.safetensors')))
    await expect(go()).rejects.toMatchObject({ code: 'MISMATCH' })
    rmSync(join(broken, 'control.safetensors'))
    await expect(go()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('the server refuses differences of another client, NaN, and an update without one', async () => {
    const hostile = place('hostile')
    const clients = Object.keys(tiny.clients)
    for (const client of clients)
      for (const what of ['update', 'control'])
        cpSync(files.at(`${client}.1.${what}.safetensors`), hostile.at(`${client}.1.${what}.safetensors`))
    const close = () =>
      closeFiles(
        plan,
        clients.map((client) => hostile.update(client, 1)),
        { round: 1, out: hostile.at('out') },
      )
    const control = hostile.at('north.1.control.safetensors')
    const sound = readFileSync(control)
    writeFileSync(control, readFileSync(hostile.at('south.1.control.safetensors')))
    await expect(close()).rejects.toMatchObject({ code: 'MISMATCH', message: expect.stringContaining('north') })
    const nan = Buffer.from(sound)
    nan.writeFloatLE(Number.NaN, nan.length - 4)
    writeFileSync(control, nan)
    await expect(close()).rejects.toMatchObject({ code: 'MALFORMED', message: expect.stringContaining('NaN') })
    rmSync(control)
    await expect(close()).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect(existsSync(hostile.at('out'))).toBe(false)
  })
})

describe('what a server keeps', () => {
  test('has to have a place, and that of another start is refused', async () => {
    const plan = await planOf({ strategy: 'fedavgm', rounds: 2 })
    await byFiles('momentum-files', plan, true)
    const at = (...parts: string[]) => join(tiny.folder, 'momentum-files', ...parts)
    const updates = [1, 2].map((round) => Object.keys(tiny.clients).map((c) => at(`${c}.${round}.update.safetensors`)))
    await expect(closeFiles(plan, updates[0]!, { out: at('x') })).rejects.toMatchObject({
      code: 'ARGUMENT',
      fix: expect.stringContaining('--server'),
    })
    const second = { round: 2, start: at('after1'), server: at('server'), out: at('x') }
    const state = at('server', 'round-1', 'state.json')
    const sound = readFileSync(state, 'utf8')
    const told = JSON.parse(sound) as Record<string, unknown>
    for (const [change, code] of [
      [{ start: 'a'.repeat(64) }, 'MISMATCH'],
      [{ plan: 'a'.repeat(64) }, 'MISMATCH'],
      [{ adapters: ['../../base'] }, 'MALFORMED'],
      [{ note: 'hello' }, 'MALFORMED'],
    ] as const) {
      writeFileSync(state, JSON.stringify({ ...told, ...change }))
      await expect(closeFiles(plan, updates[1]!, second)).rejects.toMatchObject({ code })
    }
    writeFileSync(state, sound)
    expect(await closeFiles(plan, updates[1]!, second)).toMatchObject({ last: true })
    await expect(closeFiles(await planOf(), updates[0]!, { server: at('s'), out: at('x') })).rejects.toMatchObject({
      code: 'ARGUMENT',
    })
  })

  test('a quorum holds by files too', async () => {
    const plan = await planOf({ minimumClients: 3 })
    const files = place('quorum')
    await trainVisit(plan, 'north', 1, files, {})
    await expect(closeFiles(plan, [files.update('north', 1)], { out: files.at('x') })).rejects.toMatchObject({
      code: 'REFUSED',
      expected: expect.stringContaining('minimumClients'),
    })
  })
})
