/** A base, alone or with an adapter, as an ONNX graph beside a file of its weights. */
import { randomBytes } from 'node:crypto'
import { copyFile, type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Adapter, AdapterLayer } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { writeAtomic } from '../run/atomic.js'
import { decoderGraph } from './decoder-graph.js'
import type { StoredWeight } from './graph-builder.js'
import { addEffect } from './merged-rows.js'
import { encodeModel } from './messages.js'

export const GRAPH_FILE = 'model.onnx'
export const WEIGHTS_FILE = 'model.onnx_data'
/** numbers of one piece that is read, changed and written: 4 MiB */
const PIECE = 1 << 20
const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja', 'config.json']

export interface OnnxOptions {
  adapter?: Adapter | undefined
  /**
   * merged (default): one graph of W + scale B A. apart: the factors are inputs of the graph, so that one session serves
   * many adapters; the layers are the adapter's, or all linear layers where none is given.
   */
  adapterAs?: 'merged' | 'apart' | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((done: number, total: number) => void) | undefined
}

export interface OnnxExport {
  bytes: number
  /** layers whose factors are inputs */
  adapted: string[]
}

/**
 * Writes model.onnx (opset 17, f32), model.onnx_data and generation_config.json, and copies tokenizer and config files
 * that lie beside the base. model.onnx comes last: a folder without it is no model. Memory: one piece of 4 MiB.
 * @throws OneroundError MISMATCH (an adapter of another base), UNSUPPORTED (dense deltas kept apart), ABORTED, IO
 */
export async function exportOnnx(base: Model, folder: string, o: OnnxOptions = {}): Promise<OnnxExport> {
  const { spec } = base
  refuseDense(o.adapter)
  const apart = o.adapterAs === 'apart'
  const layers = checkedLayers(base, o.adapter)
  const adapted = apart ? (o.adapter ? [...layers.keys()] : spec.linearLayers.map(({ name }) => name)) : []
  const transposed = spec.tensors.filter((tensor) => tensor.transposed)
  const { graph, weights } = decoderGraph({
    shape: spec.shape,
    maxPositions: spec.shape.learnedPositions > 0 ? spec.shape.learnedPositions : spec.maxPositions,
    adapted: new Set(adapted),
    transposed: new Set(transposed.map(({ name }) => name.slice(0, -'.weight'.length))),
    location: WEIGHTS_FILE,
    metadata: { architecture: spec.architecture, adapter: apart ? 'inputs' : o.adapter ? 'merged' : 'none' },
  })
  await mkdir(folder, { recursive: true })
  await rm(join(folder, GRAPH_FILE), { force: true })
  const bytes = await writeWeights(base, join(folder, WEIGHTS_FILE), weights, apart ? new Map() : layers, o)
  await copyBeside(base, folder)
  const ends = { bos_token_id: spec.bosToken, eos_token_id: spec.eosToken, max_length: spec.maxPositions }
  await writeAtomic(join(folder, 'generation_config.json'), `${JSON.stringify(ends, undefined, 2)}\n`)
  await writeAtomic(join(folder, GRAPH_FILE), encodeModel(graph))
  return { bytes, adapted }
}

function refuseDense(adapter: Adapter | undefined): void {
  if (adapter === undefined || adapter.dense.length === 0) return
  throw new OneroundError('UNSUPPORTED', 'Dense deltas cannot be written into an ONNX graph yet.', {
    found: `dense deltas of ${adapter.dense.length} tensors, such as ${adapter.dense[0]?.name}`,
    expected: 'factors of linear layers only',
    fix: 'Merge the adapter into a Hugging Face folder first, then export that.',
  })
}

function checkedLayers(base: Model, adapter: Adapter | undefined): Map<string, AdapterLayer> {
  const known = new Map(base.spec.linearLayers.map((layer) => [layer.name, layer]))
  for (const layer of adapter?.layers ?? []) {
    const own = known.get(layer.name)
    if (own !== undefined && own.in === layer.in && own.out === layer.out) continue
    throw new OneroundError('MISMATCH', 'The adapter is not one of this base.', {
      found: `layer '${layer.name}' [${layer.out}, ${layer.in}]`,
      expected: own === undefined ? 'a layer of the base' : `[${own.out}, ${own.in}]`,
      fix: 'Give the base that the adapter was trained on.',
    })
  }
  return new Map((adapter?.layers ?? []).filter(({ rank }) => rank > 0).map((layer) => [layer.name, layer]))
}

async function writeWeights(
  base: Model,
  file: string,
  weights: readonly StoredWeight[],
  layers: ReadonlyMap<string, AdapterLayer>,
  o: OnnxOptions,
): Promise<number> {
  const total = weights.reduce((sum, { length }) => sum + length, 0)
  const temporary = `${file}.${randomBytes(4).toString('hex')}.tmp`
  let handle: FileHandle | undefined
  let done = 0
  try {
    handle = await open(temporary, 'wx')
    for (const weight of weights) {
      for await (const { rows, offset } of pieces(base, weight, layers)) {
        if (o.signal?.aborted) throw stopped()
        await handle.write(rows, 0, rows.byteLength, offset)
        done += rows.byteLength
        o.onProgress?.(done, total)
      }
    }
    await handle.sync()
    await handle.close()
    handle = undefined
    await rename(temporary, file)
  } catch (error) {
    await handle?.close()
    await rm(temporary, { force: true })
    throw error
  }
  const last = weights.at(-1)
  return last === undefined ? 0 : last.offset + last.length
}

/** A weight's rows, merged, in pieces. */
async function* pieces(
  base: Model,
  { name, offset }: StoredWeight,
  layers: ReadonlyMap<string, AdapterLayer>,
): AsyncGenerator<{ rows: Uint8Array; offset: number }> {
  const placement = base.spec.tensors.find((tensor) => tensor.name === name)
  if (placement === undefined) throw new RangeError(`the graph asks for ${name}, which the base does not have`)
  const layer = layers.get(name.replace(/\.weight$/, ''))
  const [first = 1, second] = placement.shape
  const rowCount = second === undefined ? 1 : first
  const columns = second ?? first
  const step = Math.max(1, Math.floor(PIECE / columns))
  for (let row = 0; row < rowCount; row += step) {
    const rows = await base.weights.read(name, row, Math.min(step, rowCount - row))
    if (layer !== undefined) addEffect(rows, row, layer, { columns, transposed: placement.transposed })
    yield { rows: new Uint8Array(rows.buffer), offset: offset + 4 * row * columns }
  }
}

/** Tokenizer and configuration of the base's folder, as they are; whoever serves the graph needs them. */
async function copyBeside(base: Model, folder: string): Promise<void> {
  const from = base.source.endsWith('.gguf') ? dirname(base.source) : base.source
  for (const name of TOKENIZER_FILES) {
    await copyFile(join(from, name), join(folder, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
  }
}

function stopped(): OneroundError {
  return new OneroundError('ABORTED', 'The export was stopped; no model was written.', { fix: 'Start it again.' })
}
