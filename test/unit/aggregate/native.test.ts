import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import type { FactorPair } from '../../../src/native/binding/factors.js'
import { native } from '../../../src/native/load.js'
import { dense, norm, normals } from './dense.js'

function pair(inDim: number, outDim: number, rank: number, seed: number, weight = 1): FactorPair {
  return { rank, a: normals(seed, rank * inDim, 0.1), b: normals(seed + 1, outDim * rank, 0.1), weight }
}

test('sumSquaredNorm and the singular values agree with the dense norm', async () => {
  const pairs = [pair(14, 10, 3, 1, 0.3), pair(14, 10, 2, 3, -1.5)]
  const sum = new Float64Array(140)
  for (const { weight, ...factors } of pairs)
    dense({ in: 14, out: 10, scale: weight, ...factors }).forEach((x, i) => {
      sum[i]! += x
    })
  const expected = norm(sum) ** 2
  expect(native().sumSquaredNorm(14, 10, pairs) / expected).toBeCloseTo(1, 12)
  const { singularValues } = await native().factorizeSum(14, 10, pairs, 1, 0)
  expect(singularValues.length).toBe(5)
  expect(singularValues.reduce((total, s) => total + s * s, 0) / expected).toBeCloseTo(1, 12)
})

test('a difference of nearly equal products keeps its digits', async () => {
  const one = pair(30, 40, 4, 1)
  const other = { ...one, b: one.b.map((x, i) => (i === 0 ? x * (1 + 2 ** -20) : x)), weight: -1 }
  const step = other.b[0]! - one.b[0]!
  const expected = Math.abs(step) * Math.hypot(...one.a.subarray(0, 30))
  const { singularValues } = await native().factorizeSum(30, 40, [one, other], 1, 1)
  expect(singularValues[0]! / expected).toBeCloseTo(1, 7)
})

test('the arrays may change once the job runs', async () => {
  const one = pair(200, 300, 16, 5)
  const job = native().factorizeSum(200, 300, [one], 16, 0)
  const before = native().sumSquaredNorm(200, 300, [one])
  one.a.fill(0)
  const { singularValues } = await job
  expect(singularValues.reduce((total, s) => total + s * s, 0) / before).toBeCloseTo(1, 10)
})

describe('bad arguments end as errors with code and fix', () => {
  const good = pair(4, 5, 2, 1)
  test.each([
    ['short A', [{ ...good, a: good.a.subarray(1) }], 'ARGUMENT'],
    ['rank beyond the arrays', [{ ...good, rank: 60000 }], 'ARGUMENT'],
    ['fraction of a rank', [{ ...good, rank: 1.5 }], 'ARGUMENT'],
    ['doubles', [{ ...good, a: Float64Array.from(good.a) as unknown as Float32Array }], 'ARGUMENT'],
    ['a hole', [undefined as unknown as FactorPair], 'ARGUMENT'],
    ['infinity', [{ ...good, a: good.a.map(() => Infinity) }], 'NUMERIC'],
  ])('%s', (_, pairs, code) => {
    const expected = expect.objectContaining({ code, fix: expect.any(String) })
    expect(() => native().sumSquaredNorm(4, 5, pairs)).toThrow(expected)
    expect(() => native().factorizeSum(4, 5, pairs, 1, 0)).toThrow(expected)
  })
})

test('a worker that ends or is terminated while its jobs run takes nothing with it', async () => {
  const addon = new URL('../../../build/Release/oneround.node', import.meta.url).pathname
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    const addon = require(workerData.addon)
    const n = 400
    const pairs = [1, 2].map((k) => ({ rank: n, weight: 1, a: Float32Array.from({ length: n * n }, (_, i) => Math.sin(i * k)), b: Float32Array.from({ length: n * n }, (_, i) => Math.cos(i * k * 0.7)) }))
    for (let i = 0; i < 3; i++) addon.factorizeSum(n, n, pairs, n, 0)
    parentPort.postMessage('started')
    if (workerData.exit) process.exit(0)`
  for (const exit of [true, false, true, false]) {
    const worker = new Worker(source, { eval: true, workerData: { addon, exit } })
    const ended = new Promise((resolve) => worker.on('exit', resolve))
    await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))
    const before = performance.now()
    if (!exit) await worker.terminate()
    await ended
    expect(performance.now() - before).toBeLessThan(1000)
  }
  const { rank } = await native().factorizeSum(4, 5, [pair(4, 5, 2, 1)], 4, 0)
  expect(rank).toBe(2)
})
