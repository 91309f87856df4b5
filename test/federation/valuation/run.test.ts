/** A run folder is valued from the updates that lie in it. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { evaluate } from '../../../src/evaluate/evaluate.js'
import { simulate } from '../../../src/federation/simulate.js'
import { valueRun } from '../../../src/federation/value-run.js'
import type { Plan } from '../../../src/update/plan.js'
import { readValuation } from '../../../src/valuation/valuation.js'
import { names, trainedClients } from './trained-clients.js'

const trained = trainedClients()

describe('a run', () => {
  const folder = () => join(trained.tiny.folder, 'run')
  let two: Plan
  beforeAll(async () => {
    two = await trained.tiny.planOf({ rounds: 2, epochs: 1, clients: names })
    await simulate(trained.tiny.base, trained.tiny.clients, two, { folder: folder(), compare: ['1x2', '2x1'] })
  })

  it('is valued on the held-out part of its own data: all of its clients add what its arm gained', async () => {
    const { arms } = await simulate(trained.tiny.base, trained.tiny.clients, two, {
      folder: folder(),
      compare: ['1x2', '2x1'],
      resume: true,
    })
    const { valuation, arm, file, own } = await valueRun(folder(), trained.tiny.base, trained.tiny.clients, {
      ownData: true,
    })
    expect(arm).toBe('2x1')
    expect(own).toEqual([...names].sort())
    expect(await readValuation(file)).toEqual(JSON.parse(JSON.stringify(valuation)))
    expect(valuation.round).toBe(2)
    expect(existsSync(join(folder(), 'values'))).toBe(true)
    // The served adapter is the best of a given rank and not the exact sum.
    const served = arms.find(({ name }) => name === '2x1')!.overall
    expect(valuation.data.tokens).toBe(served.tokens)
    expect(Math.abs(valuation.loss - served.loss)).toBeLessThan(0.02)
  })

  it('in one round starts from the base', async () => {
    const { valuation } = await valueRun(folder(), trained.tiny.base, { other: trained.text }, { arm: '1x2' })
    expect(valuation.baseLoss).toBeCloseTo((await evaluate(trained.tiny.base, trained.text, {})).loss, 6)
  })

  it('is refused without the arm, with changed updates, or with data that are not its own', async () => {
    await expect(valueRun(folder(), trained.tiny.base, trained.tiny.clients, { arm: '1x9' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    await expect(valueRun(trained.tiny.folder, trained.tiny.base, trained.tiny.clients)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    await expect(
      valueRun(folder(), trained.tiny.base, { other: trained.text }, { ownData: true }),
    ).rejects.toMatchObject({
      code: 'MISMATCH',
    })
    const update = join(folder(), 'updates', '1x2', '1', 'north.update.safetensors')
    const good = readFileSync(update)
    writeFileSync(update, good.subarray(0, good.length - 4))
    await expect(valueRun(folder(), trained.tiny.base, trained.tiny.clients, { arm: '1x2' })).rejects.toMatchObject({
      code: 'REFUSED',
    })
    writeFileSync(update, good)
  })

  it("is refused where its server does not serve the clients' mean", async () => {
    const own = await trained.tiny.planOf({ strategy: 'fedavgm', rounds: 1, epochs: 1 })
    const place = `${trained.tiny.folder}/momentum`
    await simulate(trained.tiny.base, trained.tiny.clients, own, { folder: place, compare: ['1x1'] })
    await expect(valueRun(place, trained.tiny.base, trained.tiny.clients)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      found: 'strategy fedavgm',
    })
  })

  it('has a valuation that is checked when it is read', async () => {
    const file = join(folder(), 'valuation.json')
    const good = readFileSync(file, 'utf8')
    for (const bad of [
      '{',
      '[]',
      good.replace('"exact"', '"guessed"'),
      good.replace(/"shapley": [^,]*/, '"shapley": "much"'),
    ]) {
      writeFileSync(file, bad)
      await expect(readValuation(file)).rejects.toMatchObject({ code: expect.stringMatching(/MALFORMED|UNSUPPORTED/) })
    }
    await expect(readValuation(join(folder(), 'none.json'))).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})
