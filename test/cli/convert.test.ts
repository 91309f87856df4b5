/** convert, adopt, push and pull as a person types them. */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { makeAdapter } from '../../src/adapter/adapter.js'
import { runCommandLine } from '../../src/cli/program.js'
import { temporary } from './built.js'
import { testTerminal } from './terminal.js'

const folder = temporary()
const adapter = join(folder, 'adapter')
beforeAll(async () => {
  mkdirSync(folder, { recursive: true })
  const layers = [{ name: 'model.layers.0.self_attn.q_proj', in: 3, out: 2, rank: 1, scale: 2 }]
  const numbers = { a: Float32Array.of(1, 2, 3), b: Float32Array.of(4, 5) }
  await makeAdapter(layers.map((layer) => ({ ...layer, ...numbers }))).save(adapter)
})

async function run(...words: string[]) {
  const terminal = testTerminal()
  const code = await runCommandLine(words, terminal)
  return { code, terminal }
}

describe('oneround convert', () => {
  it('writes another form and says which files', async () => {
    const out = join(folder, 'mlx')
    expect((await run('convert', adapter, '--to', 'mlx', '--out', out)).code).toBe(0)
    expect(existsSync(join(out, 'adapters.safetensors'))).toBe(true)
    const back = join(folder, 'back')
    expect((await run('convert', out, '--to', 'peft', '--out', back, '--json')).code).toBe(0)
    expect((await run('inspect', out)).code).toBe(0)
  })

  it('ends with 2 where flags cannot mean anything, and leaves nothing', async () => {
    const out = join(folder, 'nothing')
    expect((await run('convert', adapter, '--to', 'gguf', '--out', out)).code).toBe(2)
    expect((await run('convert', adapter, '--to', 'hf', '--out', out)).code).toBe(2)
    expect((await run('convert', adapter, '--to', 'onyx', '--out', out)).code).toBe(2)
    expect((await run('convert', join(folder, 'absent'), '--to', 'mlx', '--out', out)).code).toBe(1)
    expect(existsSync(out)).toBe(false)
  })
})

describe('oneround push and pull', () => {
  it('take addresses of the hub only', async () => {
    expect((await run('push', adapter, 'somewhere')).code).toBe(2)
    expect((await run('pull', 'somewhere', '--out', join(folder, 'pulled'))).code).toBe(2)
  })
})
