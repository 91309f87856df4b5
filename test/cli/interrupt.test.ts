/** Ctrl-C: everything finished is kept, and --resume ends where an uninterrupted run ends, bit for bit. */
import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildCli, start, temporary } from './built.js'
import { writeSmallWorld } from './small-data.js'

const folder = temporary()
const at = (...parts: string[]): string => join(folder, ...parts)
let main = ''

beforeAll(() => {
  main = buildCli(folder)
  writeSmallWorld(folder)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const run = (words: readonly string[]) => start(main, folder, words).ended
const settings = ['--epochs', '24', '--rank', '4', '--targets', 'q_proj,v_proj', '--cutoff', '64', '--batch', '4']

async function must(words: readonly string[]): Promise<void> {
  const { code, err } = await run(words)
  expect(code, err).toBe(0)
}

/** Sends Ctrl-C as soon as `begun` holds. */
async function interrupt(words: readonly string[], begun: (child: ChildProcess) => Promise<void>) {
  const { child, ended } = start(main, folder, words)
  await begun(child)
  child.kill('SIGINT')
  return ended
}

it('ends a simulation with 130; without --resume it is left alone, with it finished', async () => {
  const words = (out: string) => [
    'simulate',
    '--base',
    'base',
    '--data',
    'clients',
    ...settings,
    '--compare',
    '1x24',
    '--out',
    out,
  ]
  const weights = (out: string) => readFileSync(at(out, 'adapter', 'adapter_model.safetensors'))
  await must(words('whole'))
  const { code, out, err } = await interrupt(words('cut'), async () => {
    const metrics = at('cut', 'metrics.jsonl')
    const limit = performance.now() + 30_000
    while (!(existsSync(metrics) && readFileSync(metrics, 'utf8').includes('"step"')) && performance.now() < limit) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })
  expect(code, err).toBe(130)
  expect(out).toBe('')
  expect(err).toContain('--resume')
  expect(existsSync(at('cut', 'adapter', 'adapter_config.json'))).toBe(false)

  const refused = await run(words('cut'))
  expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('--resume') })

  await must([...words('cut'), '--resume'])
  expect(weights('cut').equals(weights('whole'))).toBe(true)
})

it('ends a training with 130 and no update; --resume makes the same update from the checkpoint', async () => {
  await must(['plan', '--base', 'base', '--clients', 'north', ...settings, '--out', 'plan.json'])
  const train = ['train', 'plan.json', '--client', 'north', '--data', 'clients/north.jsonl', '--base', 'base']
  const words = (out: string) => [...train, '--out', out]
  await must(words('whole.update.safetensors'))
  const { code, err } = await interrupt(words('cut.update.safetensors'), async (child) => {
    await new Promise<void>((resolve) => {
      child.stderr?.on('data', (text: string) => {
        if (text.includes('train north')) resolve()
      })
    })
  })
  expect(code, err).toBe(130)
  expect(existsSync(at('cut.update.safetensors'))).toBe(false)
  expect(existsSync(at('cut.update.safetensors.checkpoint'))).toBe(true)

  await must([...words('cut.update.safetensors'), '--resume'])
  expect(readFileSync(at('cut.update.safetensors')).equals(readFileSync(at('whole.update.safetensors')))).toBe(true)
  expect(existsSync(at('cut.update.safetensors.checkpoint'))).toBe(false)
})
