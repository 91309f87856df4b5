// How fast does a LoRA step run, and in how much memory?
//   npm run bench -- train [--model FILE --data FILE.jsonl --batch 4 --tokens 128 --rank 16 --steps 6 --runs 3 --threads N]
//   npm run bench -- train --peers --python V/bin/python     beside PyTorch + PEFT, interleaved, with the ratios
// Model, data and the peer's script lie in ../shared beside the repository unless they are given.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { percentiles } from './percentiles.mjs'

const shared = (path) => fileURLToPath(new URL(`../../shared/${path}`, import.meta.url))
const warmup = 2

/** Runs a program and reads its last line as JSON; what it says on stderr is shown if it fails. */
function measure(program, args) {
  const result = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26 })
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')} failed:\n${result.error ?? result.stderr}`)
  return JSON.parse(result.stdout.trimEnd().split('\n').at(-1))
}

export async function run({ emit, flag, has }) {
  const model = flag('model', shared('models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf'))
  const data = flag('data', shared('data/gsm8k/train.jsonl'))
  const [batch, tokens, rank, steps, runs] = [
    ['batch', 4],
    ['tokens', 128],
    ['rank', 16],
    ['steps', 6],
    ['runs', 3],
  ].map(([name, otherwise]) => Number(flag(name, otherwise)))
  const threads = Number(flag('threads', os.availableParallelism()))
  const peers = has('peers')
  const python = flag('python')
  if (peers && python === undefined)
    throw new Error('--peers needs --python: the Python that has torch, transformers and peft')

  const place = mkdtempSync(join(os.tmpdir(), 'oneround-bench-'))
  try {
    const folder = flag('hf', place)
    if (peers && folder === place) {
      const made = spawnSync(python, [shared('peers/hf_from_gguf.py'), model, place, 'float32'], { encoding: 'utf8' })
      if (made.status !== 0) throw new Error(`the peer's model could not be made:\n${made.error ?? made.stderr}`)
      // The tokenizer beside the GGUF file knows its end token; the one made from its metadata does not in transformers 5.
      for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
        const beside = join(dirname(model), name)
        if (existsSync(beside)) writeFileSync(join(place, name), readFileSync(beside))
      }
    }
    const rows = { oneround: [], peft: [] }
    const child = fileURLToPath(new URL('train-child.mjs', import.meta.url))
    const numbers = [batch, tokens, rank, steps, warmup, threads].map(String)
    // Interleaved, so that a slow minute of the machine falls on both.
    for (let i = 0; i < runs; i++) {
      rows.oneround.push(measure(process.execPath, [child, model, data, ...numbers]))
      if (!peers) continue
      const shape = [
        '--batch',
        batch,
        '--seq',
        tokens,
        '--r',
        rank,
        '--alpha',
        2 * rank,
        '--steps',
        steps,
        '--warmup',
        warmup,
      ]
      const fixed = ['--bench', '--data', data, '--dtype', 'float32']
      rows.peft.push(measure(python, [shared('peers/peft_train.py'), folder, ...fixed, ...shape.map(String)]))
    }

    const shape = { batch, tokens, rank, targets: 'all-linear', steps, runs, compute: 'f32' }
    const report = (what, unit, provider, key, of = rows[provider]) =>
      emit({
        what,
        unit,
        shape,
        provider,
        threads: of[0].threads ?? threads,
        ...percentiles(of.map((row) => row[key])),
      })
    for (const provider of peers ? ['oneround', 'peft'] : ['oneround']) {
      report('train', 'tokens/s', provider, 'tokens_per_s')
      report('train peak memory', 'MiB', provider, 'peak_rss_mib')
    }
    report('train memory budget', 'MiB', 'oneround', 'budget_mib')
    report('open', 's', 'oneround', 'open_s')
    if (peers) {
      const ratios = (key) => rows.oneround.map((row, i) => ({ ratio: row[key] / rows.peft[i][key] }))
      report('train, ratio', 'oneround / peft', 'both', 'ratio', ratios('tokens_per_s'))
      report('train peak memory, ratio', 'oneround / peft', 'both', 'ratio', ratios('peak_rss_mib'))
    }
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}
