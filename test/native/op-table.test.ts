import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

// The op table is an executable of its own, without Node: every operation x shape of one instruction set against the
// double reference in native/reference. `npm run build:tests` builds it.
const executable = fileURLToPath(new URL('../../build/Release/native_tests', import.meta.url))
const sets = ['scalar', 'avx2', 'avx512', 'avx512bf16', 'avx512bf16+bf16']
// Fewer rows than this mean that groups of operations went missing, not that a shape was dropped.
const fewestRows = 1000

interface Outcome {
  exitCode: number | null
  lines: string[]
}

// Not spawnSync: a worker that is blocked for the better part of a minute loses touch with the test runner.
function run(...flags: string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(executable, flags)
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text: string) => {
        output += text
      })
    }
    child.on('error', reject)
    child.on('close', (exitCode) => resolve({ exitCode, lines: output.split('\n').filter((line) => line !== '') }))
  })
}

describe('op table', () => {
  it('is built', () => {
    expect(existsSync(executable), `${executable} is missing: npm run build:tests`).toBe(true)
  })

  it.each(sets)('every row of %s is within its tolerance', { timeout: 300_000 }, async (isa) => {
    const { exitCode, lines } = await run('--isa', isa)
    const skipped = lines.find((line) => line.startsWith(`skipped ${isa}: `))
    if (skipped !== undefined) {
      expect(isa, 'every machine has the scalar set').not.toBe('scalar')
      console.log(skipped)
      return
    }
    expect(lines.filter((line) => line.startsWith('FAIL'))).toEqual([])
    const rows = lines.filter((line) => line.startsWith('ok ') && line.split(' ')[2] === isa)
    expect(rows.length).toBeGreaterThan(fewestRows)
    expect(exitCode, lines.at(-1)).toBe(0)
  })

  it('runs at least one row of every operation', async () => {
    // Rows that test only the reference do not count.
    const rows = (await run('--isa', 'scalar', '--list')).lines.map((line) => line.split(' '))
    const operations = new Set(rows.filter(([, isa]) => isa === 'scalar').map(([name]) => name?.split('.')[0]))
    const entries = [
      ...['embed', 'embed_backward', 'rms_norm', 'rms_norm_again', 'rms_norm_backward', 'linear', 'linear_d_x'],
      ...[
        'linear_d_w',
        'linear_parts',
        'linear_parts_d_x',
        'keep_rounded',
        'take_kept',
        'swiglu_keep',
        'swiglu_kept',
        'swiglu_kept_backward',
        'copy',
        'rope',
        'attention',
        'attention_backward',
        'swiglu',
        'swiglu_backward',
        'dropout',
        'add',
      ],
      ...[
        'layer_norm',
        'layer_norm_again',
        'layer_norm_backward',
        'add_bias',
        'bias_backward',
        'gelu',
        'gelu_backward',
      ],
      ...[
        'linear_row',
        'linear_row_each',
        'attention_row',
        'gather_rows',
        'scatter_rows',
        'cross_entropy',
        'squared_norm',
        'adamw',
        'fill_zero',
      ],
    ]
    for (const entry of entries) expect(operations, entry).toContain(entry)
  })

  it('refuses a flag and an instruction set that it does not know', async () => {
    expect((await run('--bogus')).exitCode).toBe(2)
    expect((await run('--isa', 'sse')).exitCode).toBe(2)
  })
})
