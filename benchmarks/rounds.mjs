// What does a round cost around the training itself? Clients send back what they got; everything else is a real round:
// bytes of update files, every check, the exact sum, the served adapter.
//   npm run bench -- rounds [--clients 100 --rank 8 --layers 60 --width 576 --runs 3]
//   npm run bench -- rounds --peers --python F/bin/python     beside Flower's simulation, interleaved (an adapter of the same size)
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { initialAdapter } from '../dist/adapter/initial.js'
import { openAggregator } from '../dist/aggregate/aggregator.js'
import { closeRound } from '../dist/federation/server.js'
import { serializeSafetensors } from '../dist/model/safetensors.js'
import { startOfRound } from '../dist/train/start.js'
import { parsePlan, planSha256 } from '../dist/update/plan.js'
import { makeUpdate, serializeUpdate } from '../dist/update/update.js'
import { percentiles } from './percentiles.mjs'

/** A plan over square layers: rank * 2 * width * layers * 4 bytes an update. */
function planOf({ clients, rank, layers, width }) {
  const names = Array.from({ length: layers }, (_, i) => `model.layers.${i}.self_attn.q_proj`)
  return parsePlan({
    version: 1,
    base: { id: 'bench', sha256: '0'.repeat(64), tokenizerSha256: '0'.repeat(64) },
    layers: names.map((name) => ({ name, in: width, out: width, rank, scale: 2 })),
    train: {
      trainable: { kind: 'lora', targets: 'all-linear', rank, alpha: 2 * rank },
      epochs: 1,
      batch: 1,
      accumulate: 1,
      learningRate: 1e-4,
      optimizer: 'adamw',
      schedule: 'constant',
      warmup: 0,
      weightDecay: 0,
      clipNorm: 1,
      seed: 0,
      compute: 'auto',
    },
    data: { template: 'text', cutoff: 512, lossOn: 'all', heldOut: 0.2 },
    rounds: 1,
    aggregate: { method: 'svd', rank: 'auto', weights: 'examples' },
    share: ['examples'],
    clients: Array.from({ length: clients }, (_, i) => ({ name: `client-${i}` })),
  })
}

/** One round: every client makes the bytes of its update, the server reads, checks and sums them. */
async function round(plan, threads) {
  const began = performance.now()
  const start = startOfRound(plan, 1, undefined)
  const trained = start.trained.layers.map((layer) => ({ ...layer, b: layer.b.map((_, i) => 1e-3 * ((i % 7) - 3)) }))
  const adapter = { ...start.trained, layers: trained }
  const common = { planSha256: planSha256(plan), round: 1, startSha256: start.sha256, examples: 10 }
  const updates = plan.clients.map(({ name }) => serializeUpdate(makeUpdate({ client: name, ...common }, adapter)))
  const sent = performance.now()
  const aggregator = await openAggregator(plan, undefined, { round: 1, startSha256: start.sha256 })
  for (const update of updates) await aggregator.add(update)
  const checked = performance.now()
  const closed = await closeRound(plan, start, updates, { threads })
  if (!closed.last) throw new Error('the plan has one round')
  const ended = performance.now()
  return {
    seconds: (sent - began + ended - checked) / 1000,
    client: (sent - began) / 1000,
    checks: (checked - sent) / 1000,
    server: (ended - checked) / 1000,
    bytes: updates[0].byteLength,
  }
}

function flower(python, file, clients) {
  const script = fileURLToPath(new URL('../../shared/peers/flower_simulation.py', import.meta.url))
  const result = spawnSync(python, [script, file, String(clients)], { encoding: 'utf8', maxBuffer: 1 << 26 })
  if (result.status !== 0) throw new Error(`Flower's simulation failed:\n${result.error ?? result.stderr}`)
  return JSON.parse(result.stdout.trimEnd().split('\n').at(-1))
}

export async function run({ emit, flag, has }) {
  const shape = Object.fromEntries(
    [
      ['clients', 100],
      ['rank', 8],
      ['layers', 49],
      ['width', 576],
      ['runs', 3],
    ].map(([name, otherwise]) => [name, Number(flag(name, otherwise))]),
  )
  const threads = Number(flag('threads', os.availableParallelism()))
  const python = flag('python')
  const peers = has('peers')
  if (peers && python === undefined) throw new Error('--peers needs --python: the Python that has flwr[simulation]')
  const plan = planOf(shape)
  const place = mkdtempSync(join(os.tmpdir(), 'oneround-bench-'))
  try {
    const file = join(place, 'adapter.safetensors')
    const tensors = new Map()
    for (const { name, rank, in: inDim, out, a, b } of initialAdapter(plan.layers, 0).layers) {
      tensors.set(`${name}.lora_A`, { dtype: 'F32', shape: [rank, inDim], data: new Uint8Array(a.buffer) })
      tensors.set(`${name}.lora_B`, { dtype: 'F32', shape: [out, rank], data: new Uint8Array(b.buffer) })
    }
    writeFileSync(file, serializeSafetensors(tensors, {}))
    const rows = { oneround: [], flower: [] }
    for (let i = 0; i < shape.runs; i++) {
      rows.oneround.push(await round(plan, threads))
      if (peers) rows.flower.push(flower(python, file, shape.clients))
    }
    const told = { ...shape, bytes: rows.oneround[0].bytes }
    const report = (what, unit, provider, key, of) =>
      emit({ what, unit, shape: told, provider, threads, ...percentiles(of.map((row) => row[key])) })
    report('no-op round', 's', 'oneround', 'seconds', rows.oneround)
    report('its updates made', 's', 'oneround', 'client', rows.oneround)
    report('read and checked', 's', 'oneround', 'checks', rows.oneround)
    report('read, checked, summed and factorised', 's', 'oneround', 'server', rows.oneround)
    if (!peers) return
    report('no-op round', 's', 'flower', 'seconds', rows.flower)
    const ratios = rows.oneround.map((row, i) => ({ ratio: rows.flower[i].seconds / row.seconds }))
    report('no-op round, ratio', 'flower / oneround', 'both', 'ratio', ratios)
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}
