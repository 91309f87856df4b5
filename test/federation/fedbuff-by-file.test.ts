/** FedBuff by files: versions of a server that clients begin at, and buffers that make the next. */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { closeFiles, loadAdapter, simulate, visit } from '../../src/index.js'
import type { Plan } from '../../src/update/plan.js'
import { bits, type TinyFederation, tinyFederation } from './tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation({ rounds: 2, epochs: 1, strategy: 'fedbuff', buffer: 2 })
})
afterAll(() => tiny[Symbol.asyncDispose]())

const at = (...parts: string[]) => join(tiny.folder, ...parts)
const file = (client: string, turn: number) => at(`${client}.${turn}.update.safetensors`)

async function train(plan: Plan, client: string, round: number, start?: string): Promise<void> {
  const visited = await visit(tiny.base, tiny.clients[client]!, plan, { client, round, start, threads: 2 })
  await visited.save(file(client, round))
}

describe.each(['carried', 'fresh'] as const)('fedbuff by files, %s', (start) => {
  test('has the bits of a simulation whose clients arrive in this order', async () => {
    const plan = await tiny.planOf({ rounds: 2, epochs: 1, strategy: 'fedbuff', buffer: 2, start })
    const server = at(`server-${start}`)
    for (const client of ['east', 'north', 'south']) await train(plan, client, 1)
    const close = (files: string[], out: string, isLast = false) =>
      closeFiles(plan, files, { server, out: at(out), isLast, threads: 2 })
    expect(await close([file('north', 1), file('east', 1)], 'v1')).toMatchObject({ last: false, round: 1 })
    for (const client of ['east', 'north', 'south']) await train(plan, client, 2, at('v1'))
    // south's first update is a step old by now.
    expect(await close([file('south', 1), file('east', 2)], 'v2')).toMatchObject({ round: 2 })
    const served = await close([file('south', 2), file('north', 2)], 'served', true)
    expect(served).toMatchObject({ last: true, served: { method: 'svd' } })
    const { adapter } = await simulate(tiny.base, tiny.clients, plan, { compare: ['2x1'], threads: 2 })
    expect(bits(await loadAdapter(at('served')))).toEqual(bits(adapter))
  })
})

describe('refusals', () => {
  test('name client, rule, value and limit, and leave the server as it was', async () => {
    const { plan } = tiny
    const server = at('server')
    const close = (files: string[], more: object = {}) => closeFiles(plan, files, { server, out: at('out'), ...more })
    for (const client of ['east', 'north', 'south']) await train(plan, client, 1)
    const [east, north, south] = ['east', 'north', 'south'].map((client) => file(client, 1)) as [string, string, string]
    await expect(close([east])).rejects.toMatchObject({ code: 'ARGUMENT', found: '1 updates' })
    await expect(close([])).rejects.toMatchObject({ code: 'ARGUMENT' })
    await expect(close([], { isLast: true })).rejects.toMatchObject({ code: 'REFUSED', found: '0' })
    await expect(close([east, east])).rejects.toThrow(/client 'east'.*'once': visit 1 after visit 1/)
    await expect(close([east, north], { server: undefined })).rejects.toMatchObject({ code: 'ARGUMENT' })
    await expect(close([east, north], { finish: { method: 'ties' } })).rejects.toMatchObject({ code: 'ARGUMENT' })
    expect(existsSync(server)).toBe(false)
    await close([east, north])
    await expect(close([south, east])).rejects.toThrow(/'once'/)
    // What a client began at must be a version of this server.
    await train(plan, 'east', 2, at('out'))
    await expect(close([south, file('east', 2)], { server: at('elsewhere') })).rejects.toThrow(/client 'east'.*'start'/)
    await close([south, file('east', 2)])
    rmSync(at('server', 'version-1'), { recursive: true })
    await expect(close([], { isLast: true })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('a buffer that is not full counts for its part at the end', async () => {
    const plan = await tiny.planOf({ rounds: 1, epochs: 1, strategy: 'fedbuff', buffer: 2 })
    for (const client of ['east', 'north', 'south']) await train(plan, client, 1)
    const files = ['east', 'north', 'south'].map((client) => file(client, 1))
    await closeFiles(plan, files, { server: at('part'), out: at('served'), isLast: true, threads: 2 })
    const { adapter } = await simulate(tiny.base, tiny.clients, plan, { compare: ['1x1'], threads: 2 })
    expect(bits(await loadAdapter(at('served')))).toEqual(bits(adapter))
  })
})
