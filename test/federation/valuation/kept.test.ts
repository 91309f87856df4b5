/** Coalitions that were judged are kept, and what cannot be valued is refused. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeDataset } from '../../../src/data/dataset.js'
import { valueClients } from '../../../src/valuation/value-clients.js'
import { trainedClients } from './trained-clients.js'

const trained = trainedClients()

describe('coalitions that are kept', () => {
  const folder = () => join(trained.tiny.folder, 'values')
  const file = () => join(folder(), readdirSync(folder())[0]!)
  const lines = () => readFileSync(file(), 'utf8').trimEnd().split('\n')
  it('are not evaluated again after a stop, and the values have the same bits', async () => {
    const whole = await trained.value(trained.honest)
    const controller = new AbortController()
    let rounds = 0
    const onProgress = () => {
      if (++rounds === 5) controller.abort()
    }
    await expect(
      trained.value(trained.honest, { keep: folder(), signal: controller.signal, onProgress }),
    ).rejects.toMatchObject({
      code: 'ABORTED',
    })
    const kept = lines().length - 1
    expect(kept).toBeGreaterThan(0)
    expect(kept).toBeLessThan(16)
    // A killed process tears the last line.
    writeFileSync(file(), `${lines().join('\n')}\n{"event":"coali`)
    expect(await trained.value(trained.honest, { keep: folder() })).toEqual(whole)
    expect(lines()).toHaveLength(1 + 16)
    expect(new Set(lines().map((line) => (JSON.parse(line) as { coalition?: string }).coalition)).size).toBe(17)
    // Nothing is left to evaluate: not a row is read.
    let read = 0
    await trained.value(trained.honest, { keep: folder(), onProgress: () => void read++ })
    expect(read).toBe(0)
    expect(readdirSync(folder())).toHaveLength(1)
  })

  it('of other text or weights are another game, in another file', async () => {
    await trained.value(trained.honest, { keep: folder() }, makeDataset(trained.text.examples.slice(1)))
    await trained.value(trained.honest.slice(1), { keep: folder() })
    expect(readdirSync(folder())).toHaveLength(3)
    rmSync(folder(), { recursive: true })
    await trained.value(trained.honest, { keep: folder() })
  })

  it.each<[string, (all: string[]) => string[], string]>([
    ['another game', ([game, ...rest]) => [game!.replace(/"sha256":"./, '"sha256":"x'), ...rest], 'MISMATCH'],
    ['no game', ([, ...rest]) => rest, 'MALFORMED'],
    [
      'a coalition of other clients',
      ([game, line, ...rest]) => [game!, line!.replace(/"coalition":"/, '"coalition":"1'), ...rest],
      'MALFORMED',
    ],
    ['a coalition twice', (all) => [...all, all[1]!], 'MALFORMED'],
    [
      'a loss below 0',
      ([game, line, ...rest]) => [game!, line!.replace('"losses":[', '"losses":[-'), ...rest],
      'MALFORMED',
    ],
    [
      'a loss that is no number',
      ([game, line, ...rest]) => [game!, line!.replace(/"losses":\[[^,]*/, '"losses":["1"'), ...rest],
      'MALFORMED',
    ],
    [
      'too few losses',
      ([game, line, ...rest]) => [game!, line!.replace(/"losses":\[[^\]]*/, '"losses":[1'), ...rest],
      'MALFORMED',
    ],
    ['no JSON', (all) => [...all, '{'], 'MALFORMED'],
  ])('are refused where the file holds %s', async (_what, change, code) => {
    const good = readFileSync(file(), 'utf8')
    writeFileSync(file(), `${change(lines()).join('\n')}\n`)
    await expect(trained.value(trained.honest, { keep: folder() })).rejects.toMatchObject({ code })
    writeFileSync(file(), good)
  })
})

describe('what cannot be valued is refused', () => {
  it.each<[string, () => Promise<unknown>, string]>([
    ['no updates', () => trained.value([]), 'ARGUMENT'],
    ['a client twice', () => trained.value([trained.honest[0]!, trained.honest[0]!]), 'REFUSED'],
    ['no text', () => trained.value(trained.honest, {}, makeDataset([])), 'ARGUMENT'],
    ['no samples', () => trained.value(trained.honest, { samples: 0 }), 'ARGUMENT'],
    ['half a sample', () => trained.value(trained.honest, { samples: 1.5 }), 'ARGUMENT'],
    [
      'too little text to learn',
      () => trained.value(trained.honest, { learn: ['weights'] }, makeDataset(trained.text.examples.slice(0, 3))),
      'ARGUMENT',
    ],
    [
      'updates of another round',
      () => valueClients(trained.tiny.base, trained.plan, { ...trained.start, round: 2 }, trained.honest, trained.text),
      'REFUSED',
    ],
    ['a device that is not built', () => trained.value(trained.honest, { device: 'cuda' }), 'UNSUPPORTED'],
  ])('%s', async (_what, call, code) => {
    await expect(call()).rejects.toMatchObject({ code })
  })
})
