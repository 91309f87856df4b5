// How fast does a LoRA step run, and in how much memory?
//   npm run bench -- train [--model FILE --data FILE.jsonl --batch 4 --tokens 128 --rank 16 --steps 6 --runs 3 --threads N]
//   npm run bench -- train --tokens 0 --batch 8              rows of mixed length, ours packed, the peer's padded
//   npm run bench -- train --compute f32                     f32, bf16, or both where this machine has both (default)
//   npm run bench -- train --peers --python V/bin/python [--hf FOLDER --dtypes float32,bfloat16]
// With peers the runs are interleaved and each of ours is compared with the peer's best dtype.
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { computes } from './peak.mjs'
import { percentiles } from './percentiles.mjs'
import * as processes from './processes.mjs'

const warmup = 2
const cutoff = 512

export async function run({ emit, flag, has }) {
  const model = flag('model', processes.shared(processes.model))
  const data = flag('data', processes.shared(processes.data))
  const [batch, tokens, rank, steps, runs] = [
    ['batch', 4],
    ['tokens', 128],
    ['rank', 16],
    ['steps', 6],
    ['runs', 3],
  ].map(([name, otherwise]) => Number(flag(name, otherwise)))
  const threads = Number(flag('threads', os.availableParallelism()))
  const ours = flag('compute', computes().join(',')).split(',')
  const peers = has('peers')
  const python = flag('python')
  const dtypes = peers ? flag('dtypes', 'float32,bfloat16').split(',') : []
  if (peers && python === undefined)
    throw new Error('--peers needs --python: the Python that has torch, transformers and peft')

  const place = mkdtempSync(join(os.tmpdir(), 'oneround-bench-'))
  try {
    const folder = flag('hf', place)
    if (peers && folder === place) processes.peerModel(python, model, place)
    const peer = (dtype) => {
      if (tokens === 0) {
        const script = fileURLToPath(new URL('peers/peft_mixed.py', import.meta.url))
        return processes.measure(python, [script, folder, data, dtype, batch, rank, steps, warmup, cutoff])
      }
      const fixed = ['--bench', '--data', data, '--dtype', dtype, '--r', rank, '--alpha', 2 * rank]
      const shape = ['--batch', batch, '--seq', tokens, '--steps', steps, '--warmup', warmup]
      const row = processes.measure(python, [processes.shared('peers/peft_train.py'), folder, ...fixed, ...shape])
      return { ...row, trained_tokens_per_s: row.tokens_per_s }
    }
    const rows = new Map([...ours, ...dtypes].map((name) => [name, []]))
    // Interleaved, so that a slow minute of the machine falls on all.
    for (let i = 0; i < runs; i++) {
      for (const compute of ours) {
        const numbers = [batch, tokens, rank, steps, warmup, threads, compute]
        rows.get(compute).push(processes.measure(process.execPath, [processes.child, model, data, ...numbers]))
      }
      for (const dtype of dtypes) rows.get(dtype).push(peer(dtype))
    }
    report({ emit, rows, ours, dtypes, threads, shape: { batch, tokens, rank, targets: 'all-linear', steps, runs } })
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

function report({ emit, rows, ours, dtypes, threads, shape }) {
  const speed = shape.tokens === 0 ? 'trained_tokens_per_s' : 'tokens_per_s'
  const row = (what, unit, provider, compute, values) =>
    emit({ what, unit, shape: { ...shape, compute }, provider, threads, ...percentiles(values) })
  const column = (name, key) => rows.get(name).map((one) => one[key])
  for (const [provider, names] of [
    ['oneround', ours],
    ['peft', dtypes],
  ]) {
    for (const name of names) {
      row('train', shape.tokens === 0 ? 'trained tokens/s' : 'tokens/s', provider, name, column(name, speed))
      row('train peak memory', 'MiB', provider, name, column(name, 'peak_rss_mib'))
    }
  }
  for (const name of ours) row('train memory budget', 'MiB', 'oneround', name, column(name, 'budget_mib'))
  row(
    'open',
    's',
    'oneround',
    ours[0],
    ours.flatMap((name) => column(name, 'open_s')),
  )
  if (dtypes.length === 0) return
  const best = (key, choose) => (_value, i) => choose(...dtypes.map((dtype) => rows.get(dtype)[i][key]))
  for (const name of ours) {
    const fast = column(name, speed)
    const small = column(name, 'peak_rss_mib')
    const ratio = (values, of) => values.map((value, i) => value / of(value, i))
    row('train, ratio to the peer’s best', 'x', 'both', name, ratio(fast, best(speed, Math.max)))
    row('train peak memory, ratio to the peer’s least', 'x', 'both', name, ratio(small, best('peak_rss_mib', Math.min)))
  }
}
