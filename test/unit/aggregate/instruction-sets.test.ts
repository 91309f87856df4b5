/** Aggregation gives the same bits on every instruction set: each one in a process of its own. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { native } from '../../../src/native/load.js'

// Sizes that are no multiple of any vector or tile.
const source = `
  const { createHash } = require('node:crypto')
  const { writeFileSync, mkdtempSync, rmSync } = require('node:fs')
  const { join } = require('node:path')
  const addon = require(process.argv[1])
  const hash = createHash('sha256')
  const take = (values) => hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  const pairs = (inDim, outDim, count, rank) => Array.from({ length: count }, (_, i) => ({
    rank, a: addon.random(1, 2 * i, rank * inDim, 'normal'), b: addon.random(1, 2 * i + 1, outDim * rank, 'normal'),
    weight: 0.3 + i / 7, share: 1 / count, stream: i }))
  ;(async () => {
    for (const [inDim, outDim] of [[53, 37], [37, 131], [1, 5]]) {
      const some = pairs(inDim, outDim, 5, 3)
      const grid = new BigInt64Array(inDim * outDim)
      await addon.addToGrid(inDim, outDim, grid, some.map((p) => ({ ...p, weight: p.weight * 2 ** 40 })), 2)
      await addon.addToGrid(inDim, outDim, grid, pairs(inDim, outDim, 2, 19).map((p) => ({ ...p, weight: p.weight * 2 ** 40 })), 1)
      take(grid); take(addon.gridValues(grid, 2 ** -40 / 3))
      const dense = await addon.denseSum(inDim, outDim, some, new Float32Array(), 0)
      take(dense.values)
      take(new Float64Array([dense.squaredNorm, addon.elementBound(inDim, outDim, some)]))
      for (const rank of [1, 4, 60]) {
        for (const f of [await addon.factorizeDense(inDim, outDim, dense.values, rank, 0), await addon.factorizeSum(inDim, outDim, some, rank, 0)]) {
          take(f.a); take(f.b); take(f.singularValues)
        }
      }
      take(await addon.productGram(inDim, outDim, some))
      for (const rule of ['median', 'trimmed-mean', 'ties', 'dare'])
        take(await addon.coordinateWise(inDim, outDim, some, { rule, trimmed: 1, density: 0.4, drop: 0.5, seed: 3 }))
    }
    const folder = mkdtempSync(join(require('node:os').tmpdir(), 'oneround-isa-'))
    const files = [3, 4].map((stream) => {
      const path = join(folder, stream + '.f32')
      writeFileSync(path, addon.random(1, stream, 9001, 'normal'))
      return { path, offset: 0, weight: 0.3 }
    })
    const mean = await addon.meanOfFiles(files, [5000, 4001], 2)
    take(mean.mean); take(mean.squares)
    rmSync(folder, { recursive: true })
    console.log(addon.cpu().isa, hash.digest('hex'))
  })()`

test('every sum, factor, inner product and rule', () => {
  const addon = fileURLToPath(new URL('../../../build/Release/oneround.node', import.meta.url))
  const sets = native().cpu().available
  const digests = sets.map((isa) => {
    const env = { ...process.env, ONEROUND_ISA: isa }
    const [used, digest] = execFileSync(process.execPath, ['-e', source, addon], { env, encoding: 'utf8' })
      .trim()
      .split(' ')
    expect(used).toBe(isa)
    return digest
  })
  expect(digests).toEqual(sets.map(() => digests[0]))
  expect(digests[0]).toMatch(/^[0-9a-f]{64}$/)
})
