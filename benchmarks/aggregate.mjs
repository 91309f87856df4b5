// How fast are sums over updates of SmolLM2-135M's size (rank 8, all linear layers, 9.8 MB each)?
//   npm run bench -- aggregate [--clients 100 --blocks 30 --runs 3 --threads N] [--rows mean,exact,svd,gram,memory]
//   npm run bench -- aggregate --peers --python F/bin/python     beside Flower and numpy, interleaved, with the ratios
// --blocks lowers the number of blocks for svd, gram and memory: the peers then get the same layers.
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { savePeft } from '../dist/adapter/peft.js'
import { openAggregator } from '../dist/aggregate/aggregator.js'
import { averageFiles } from '../dist/aggregate/file-mean.js'
import { gram } from '../dist/aggregate/gram.js'
import { readUpdate } from '../dist/update/update.js'
import { smolPlan, smolUpdate } from './aggregate-data.mjs'
import { oneThread, svdRows, svdTimes } from './aggregate-svd.mjs'
import { percentiles } from './percentiles.mjs'
import { measure } from './processes.mjs'

const flower = fileURLToPath(new URL('../../shared/peers/flower_aggregate.py', import.meta.url))

const seconds = async (work) => {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}

/** Bytes a second that all threads together can read from memory: each compares two equal pieces of 128 MiB. */
async function readBandwidth(threads) {
  const source = `
    const { parentPort } = require('node:worker_threads')
    const bytes = 2 ** 27
    const [a, b] = [Buffer.alloc(bytes, 7), Buffer.alloc(bytes, 7)]
    a.equals(b)
    parentPort.on('message', () => { for (let i = 0; i < 4; i++) a.equals(b); parentPort.postMessage(8 * bytes) })
    parentPort.postMessage(0)`
  const workers = Array.from({ length: threads }, () => new Worker(source, { eval: true }))
  const answer = (worker) => new Promise((resolve) => worker.once('message', resolve))
  await Promise.all(workers.map(answer))
  const began = performance.now()
  const done = Promise.all(workers.map(answer))
  for (const worker of workers) worker.postMessage('go')
  const bytes = (await done).reduce((sum, n) => sum + n, 0)
  const rate = bytes / ((performance.now() - began) / 1000)
  await Promise.all(workers.map((worker) => worker.terminate()))
  return rate
}

/** Reads files into one buffer, as fast as the page cache gives them. */
function readAll(files) {
  const buffer = Buffer.allocUnsafe(statSync(files[0]).size)
  for (const file of files) {
    const handle = openSync(file, 'r')
    readSync(handle, buffer, 0, buffer.length, 0)
    closeSync(handle)
  }
}

export async function run({ emit, flag, has }) {
  const clients = Number(flag('clients', 100))
  const blocks = Number(flag('blocks', 30))
  const runs = Number(flag('runs', 3))
  const threads = Number(flag('threads', os.availableParallelism()))
  const rows = flag('rows', 'mean,exact,svd,gram,memory').split(',')
  const peer = has('peers') ? flag('python') : undefined
  if (has('peers') && peer === undefined) throw new Error('--peers needs --python: the Python that has flwr and numpy')
  const place = mkdtempSync(join(os.tmpdir(), 'oneround-bench-'))
  const repeat = async (work) => {
    const all = []
    for (let i = 0; i < runs; i++) all.push(await work())
    return all
  }
  const report = (what, unit, shape, provider, values) =>
    emit({ what, unit, shape, provider, threads, ...percentiles(values) })
  try {
    const plan = smolPlan(30)
    const files = Array.from({ length: clients }, (_, i) => join(place, `${i}.update.safetensors`))
    if (['mean', 'exact'].some((row) => rows.includes(row)))
      for (const [i, file] of files.entries()) await smolUpdate(plan, i).save(file)
    const shape = { clients, rank: 8, layers: plan.layers.length }

    if (rows.includes('mean')) {
      const bytes = clients * statSync(files[0]).size
      if (peer) await savePeft(smolUpdate(plan, 0).adapter, join(place, 'peft'))
      const all = await repeat(async () => {
        const bandwidth = await readBandwidth(threads)
        const own = bytes / (await seconds(() => averageFiles(plan, files, { threads })))
        const theirs = peer
          ? measure(peer, [flower, join(place, 'peft', 'adapter_model.safetensors'), clients], oneThread).gb_per_s * 1e9
          : Number.NaN
        return { own, bandwidth, theirs }
      })
      report(
        'weighted mean of files',
        'GB/s',
        shape,
        'oneround',
        all.map(({ own }) => own / 1e9),
      )
      report(
        'memory read',
        'GB/s',
        shape,
        'memcmp',
        all.map(({ bandwidth }) => bandwidth / 1e9),
      )
      report(
        'weighted mean of files, share of memory',
        '1',
        shape,
        'both',
        all.map((x) => x.own / x.bandwidth),
      )
      if (peer) {
        report(
          'weighted mean in memory',
          'GB/s',
          shape,
          'flower',
          all.map(({ theirs }) => theirs / 1e9),
        )
        report(
          'weighted mean, ratio',
          'oneround / flower',
          shape,
          'both',
          all.map((x) => x.own / x.theirs),
        )
      }
    }

    if (rows.includes('exact')) {
      const values = await repeat(() =>
        seconds(async () => {
          const aggregator = await openAggregator(plan, undefined, { threads, keep: 'sums' })
          for (const file of files) await aggregator.add(file)
        }),
      )
      report('exact sum of files, checked', 's', shape, 'oneround', values)
    }

    const part = smolPlan(blocks)
    const partShape = (count) => ({ clients: count, rank: 8, layers: part.layers.length })
    if (rows.includes('svd')) {
      for (const count of [...new Set([10, clients])]) {
        const aggregator = await openAggregator(part, undefined, { threads })
        for (let i = 0; i < count; i++) await aggregator.add(smolUpdate(part, i))
        const all = await repeat(() => svdTimes(aggregator, { peer, blocks, clients: count }))
        for (const row of svdRows(all, peer !== undefined))
          report(row.what, row.unit, partShape(count), row.provider, row.values)
      }
    }

    if (rows.includes('gram')) {
      const some = files.map((_, i) => join(place, `part-${i}.update.safetensors`))
      for (const [i, file] of some.entries()) await smolUpdate(part, i).save(file)
      const all = await repeat(async () => {
        const plain = await seconds(async () => readAll(some))
        const updates = []
        const read = await seconds(async () => {
          for (const file of some) updates.push(await readUpdate(file, part))
        })
        return { plain, read, own: await seconds(() => gram(updates, { threads })) }
      })
      report(
        'Gram matrix',
        's',
        partShape(clients),
        'oneround',
        all.map(({ own }) => own),
      )
      report(
        'reading and parsing those updates',
        's',
        partShape(clients),
        'oneround',
        all.map(({ read }) => read),
      )
      report(
        'reading their bytes',
        's',
        partShape(clients),
        'read',
        all.map(({ plain }) => plain),
      )
      report(
        'Gram matrix, ratio to reading and parsing',
        '1',
        partShape(clients),
        'both',
        all.map((x) => x.own / x.read),
      )
    }

    if (rows.includes('memory')) {
      const count = Number(flag('streamed', 1000))
      const child = fileURLToPath(new URL('aggregate-child.mjs', import.meta.url))
      const result = spawnSync(process.execPath, [child, String(blocks), String(count)], { encoding: 'utf8' })
      if (result.status !== 0) throw new Error(result.stderr)
      const row = JSON.parse(result.stdout)
      const streamed = partShape(count)
      for (const [what, key] of [
        ['streamed sum, peak memory', 'peak_mib'],
        ['streamed sum, memory before', 'idle_mib'],
        ['one update', 'update_mib'],
        ['accumulator', 'accumulator_mib'],
      ])
        report(what, 'MiB', streamed, 'oneround', [row[key]])
      const rest = row.peak_mib - row.idle_mib - row.update_mib - row.accumulator_mib
      report('streamed sum, memory beside update and accumulator', 'MiB', streamed, 'oneround', [rest])
      report('streamed sum', 's', streamed, 'oneround', [row.seconds])
    }
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}
