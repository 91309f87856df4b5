/** Statistics as bytes: written layer after layer, read one layer at a time, since X'X of all layers fills a memory. */
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { OneroundError } from '../errors.js'
import { readSafetensorsHeader } from '../model/safetensors.js'
import { writeAtomic } from '../run/atomic.js'
import { fileError, readExactly } from '../text/bounded-file.js'
import { bytesOf } from './digest.js'
import type { Plan } from './plan.js'
import {
  decodeStatisticInfo,
  type LayerStatistic,
  malformed,
  type StatisticInfo,
  statisticLayout,
  statisticRefusal,
  statisticTensors,
  triangle,
} from './statistic.js'

export interface StatisticFile {
  readonly info: StatisticInfo
  /** Reads a layer's numbers and checks them. */
  layer(name: string): Promise<LayerStatistic>
}

/** Writes the file in one step. The same statistic gives the same bytes. */
export async function writeStatistic(
  file: string,
  plan: Plan,
  info: StatisticInfo,
  layers: Readonly<Record<string, LayerStatistic>>,
): Promise<{ sha256: string; bytes: number }> {
  const { header, bytes } = statisticLayout(plan, info)
  const hash = createHash('sha256')
  const pieces = function* () {
    yield header
    const tensors = statisticTensors(plan, info.kind).sort((x, y) => (x.name < y.name ? -1 : 1))
    for (const { layer, name, shape } of tensors) yield bytesOf(numbersOf(layers[layer] ?? {}, name, layer, shape))
  }
  await writeAtomic(
    file,
    (function* () {
      for (const piece of pieces()) {
        hash.update(piece)
        yield piece
      }
    })(),
  )
  return { sha256: hash.digest('hex'), bytes }
}

/** A tensor's numbers from what was measured; of a symmetric matrix the lower triangle, row by row. */
function numbersOf(
  { fisherA, fisherB, inputs }: LayerStatistic,
  tensor: string,
  layer: string,
  shape: readonly number[],
): Float32Array {
  const count = shape.reduce((product, size) => product * size, 1)
  const values = tensor.endsWith('.inputs') ? lowerOf(inputs) : tensor.endsWith('.fisher_A') ? fisherA : fisherB
  if (values?.length === count) return values
  throw new OneroundError('ARGUMENT', `The statistic does not hold layer '${layer}' of the plan.`, {
    found: values === undefined ? 'none' : `${values.length} numbers`,
    expected: `${count} numbers`,
    fix: 'Measure it with this plan.',
  })
}

function lowerOf(square: Float32Array | undefined): Float32Array | undefined {
  if (square === undefined) return undefined
  const size = Math.sqrt(square.length)
  const lower = new Float32Array(triangle(size))
  for (let row = 0, at = 0; row < size; at += ++row) lower.set(square.subarray(row * size, row * size + row + 1), at)
  return lower
}

/**
 * Opens a statistic and looks at every number in it once, so that nothing is summed beside a broken one. Its header must
 * be, byte for byte, what `writeStatistic` makes of the plan and of what the file says it is.
 * @throws OneroundError MALFORMED, REFUSED with client, rule, value and limit
 */
export async function openStatistic(file: string, plan: Plan): Promise<StatisticFile> {
  const { metadata, tensors, fileBytes } = await readSafetensorsHeader(file)
  const info = decodeStatisticInfo(metadata, file)
  const { header, offsets, bytes } = statisticLayout(plan, info)
  const wanted = new Map(statisticTensors(plan, info.kind).map(({ name, shape }) => [name, shape.join(', ')]))
  const wrong = tensors.find(({ name, dtype, shape }) => dtype !== 'F32' || wanted.get(name) !== shape.join(', '))
  if (wrong !== undefined || tensors.length !== wanted.size) {
    const found = wrong ? `'${wrong.name.slice(0, 200)}' ${wrong.dtype} [${wrong.shape}]` : `${tensors.length} tensors`
    const limit = (wrong && wanted.get(wrong.name)) ?? `${wanted.size} tensors of the plan's layers`
    throw statisticRefusal(info.client, 'shape', found, wrong && wanted.has(wrong.name) ? `F32 [${limit}]` : limit)
  }
  const reader = { file, plan, info, offsets }
  await withHandle(file, async (handle) => {
    const first = fileBytes === bytes ? await readExactly(handle, 0, header.length, file) : undefined
    if (first === undefined || Buffer.compare(first, header) !== 0) throw malformed(file, 'another layout')
    for (const { name } of plan.layers) await layerOf(handle, reader, name)
  })
  return { info, layer: (name) => withHandle(file, (handle) => layerOf(handle, reader, name)) }
}

interface Reader {
  file: string
  plan: Plan
  info: StatisticInfo
  offsets: ReadonlyMap<string, number>
}

async function layerOf(
  handle: FileHandle,
  { file, plan, info, offsets }: Reader,
  name: string,
): Promise<LayerStatistic> {
  const layer = plan.layers.find((one) => one.name === name)
  if (layer === undefined) return {}
  const read = async (tensor: string, count: number): Promise<Float32Array> => {
    const bytes = await readExactly(handle, offsets.get(`${name}.${tensor}`) ?? 0, count * 4, file)
    const values = new Float32Array(Uint8Array.from(bytes).buffer)
    const at = values.findIndex((value) => !Number.isFinite(value))
    if (at >= 0)
      throw statisticRefusal(info.client, 'finite', `${values[at]} in ${tensor} of layer '${name}'`, 'finite numbers')
    return values
  }
  if (info.kind === 'regmean')
    return { inputs: squareOf(await read('inputs', triangle(layer.in)), layer.in, info.client, name) }
  const fisherA = await read('fisher_A', layer.rank * layer.in)
  const fisherB = await read('fisher_B', layer.out * layer.rank)
  const negative = fisherA.find((value) => value < 0) ?? fisherB.find((value) => value < 0)
  if (negative !== undefined)
    throw statisticRefusal(info.client, 'sign', `${negative} in layer '${name}'`, 'at least 0, being a mean of squares')
  return { fisherA, fisherB }
}

/** Slack for sums in f32 of the inequality that each X'X keeps. */
const SLACK = 1e-3

/** The whole of a symmetric matrix. |G_ij| <= sqrt(G_ii G_jj), which no X'X can break. */
function squareOf(lower: Float32Array, size: number, client: string, layer: string): Float32Array {
  const square = new Float32Array(size * size)
  const roots = new Float64Array(size)
  for (let row = 0, at = 0; row < size; at += ++row) {
    const diagonal = lower[at + row] ?? 0
    if (diagonal < 0) throw statisticRefusal(client, 'sign', `${diagonal} on the diagonal of '${layer}'`, 'at least 0')
    roots[row] = Math.sqrt(diagonal)
    for (let column = 0; column <= row; column++) {
      const value = lower[at + column] ?? 0
      const most = (roots[row] ?? 0) * (roots[column] ?? 0) * (1 + SLACK)
      if (Math.abs(value) > most)
        throw statisticRefusal(
          client,
          'inputs',
          `${value} off the diagonal of layer '${layer}'`,
          `at most ${most} there`,
        )
      square[row * size + column] = value
      square[column * size + row] = value
    }
  }
  return square
}

async function withHandle<T>(file: string, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  const handle = await open(file, 'r').catch((cause: unknown) => {
    throw fileError(file, cause)
  })
  try {
    return await use(handle)
  } finally {
    await handle.close()
  }
}
