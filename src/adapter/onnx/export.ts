/** A base, alone or with an adapter, as an ONNX graph beside a file of its weights. */
import { join } from 'node:path'
import { OneroundError } from '../../errors.js'
import { layOutFolder } from '../../model/lay-out.js'
import type { Model } from '../../model/open.js'
import type { OutputFile } from '../../model/output.js'
import { INDEX } from '../../model/weight-files.js'
import { writeSealed } from '../../run/atomic.js'
import type { Adapter } from '../adapter.js'
import { checkFits, refuseDense } from '../fits.js'
import { Merge } from '../merge.js'
import { decoderGraph } from './decoder-graph.js'
import type { StoredWeight } from './graph-builder.js'
import { encodeModel } from './messages.js'

export const GRAPH_FILE = 'model.onnx'
const WEIGHTS_FILE = 'model.onnx_data'
/** what a runtime needs besides graph and tokenizer */
export const FACTS_FILE = 'oneround_onnx.json'

type AdapterAs = 'merged' | 'apart'

export interface OnnxOptions {
  adapter?: Adapter | undefined
  /**
   * merged (default): one graph of base + adapter. apart: the factors are inputs of the graph, so that one session serves
   * many adapters; the layers are the adapter's, or all linear layers where none is given.
   */
  adapterAs?: AdapterAs | undefined
  threads?: number | undefined
  signal?: AbortSignal | undefined
  /** in bytes of weights */
  onProgress?: ((p: { done: number; total: number }) => void) | undefined
}

export interface OnnxExport {
  /** paths */
  files: string[]
  /** of the weights */
  bytes: number
  /** layers whose factors are inputs */
  adapted: string[]
  /** what could not be kept, one sentence each */
  notes: string[]
}

/**
 * Writes model.onnx (opset 17), model.onnx_data (f32, rounded once), and what serves them: tokenizer and configuration
 * of the base. model.onnx comes last: a folder without it is no model. Memory: one piece of 4 MiB a thread.
 * @throws OneroundError MISMATCH (an adapter of another base), UNSUPPORTED (dense deltas kept apart), ABORTED, IO; nothing is left behind
 */
export async function exportOnnx(base: Model, folder: string, o: OnnxOptions = {}): Promise<OnnxExport> {
  const { spec } = base
  const apart = o.adapterAs === 'apart'
  if (o.adapter !== undefined) checkFits(o.adapter, spec)
  if (apart && o.adapter !== undefined) refuseDense(o.adapter, 'An ONNX graph with the adapter apart')
  const all = o.adapter === undefined ? spec.linearLayers : o.adapter.layers.filter(({ rank }) => rank > 0)
  const adapted = apart ? all.map(({ name }) => name) : []
  const { graph, weights } = decoderGraph({
    shape: spec.shape,
    maxPositions: spec.shape.learnedPositions > 0 ? spec.shape.learnedPositions : spec.maxPositions,
    adapted: new Set(adapted),
    location: WEIGHTS_FILE,
    metadata: { architecture: spec.architecture, adapter: apart ? 'inputs' : o.adapter ? 'merged' : 'none' },
  })
  const beside = await layOutFolder(base, { type: 'F32' })
  const file = weightsFile(weights)
  let done = 0
  const merge = new Merge(base, apart ? undefined : o.adapter, {
    signal: o.signal,
    threads: o.threads,
    onBytes: (bytes) => {
      done += bytes
      o.onProgress?.({ done, total: file.bytes })
    },
  })
  const { bosToken = null, eosToken = null, maxPositions } = spec
  const facts = `${JSON.stringify({ format: 'oneround-onnx', version: 1, bosToken, eosToken, maxPositions }, undefined, 2)}\n`
  const files = [
    [WEIGHTS_FILE, (handle) => merge.write(handle, file)],
    ...beside.texts.filter(([name]) => name !== INDEX),
    [FACTS_FILE, facts],
    [GRAPH_FILE, encodeModel(graph)],
  ] as Parameters<typeof writeSealed>[1]
  await writeSealed(folder, files)
  return { files: files.map(([name]) => join(folder, name)), bytes: file.bytes, adapted, notes: beside.notes }
}

/** Every weight as [out, in], at the place that the graph names. */
function weightsFile(weights: readonly StoredWeight[]): OutputFile {
  const last = weights.at(-1)
  if (last === undefined) throw new OneroundError('ARGUMENT', 'A graph without weights.', { fix: 'Give a model.' })
  return {
    name: WEIGHTS_FILE,
    header: new Uint8Array(0),
    bytes: last.offset + last.length,
    others: [],
    tensors: weights.map(({ name, shape, offset }) => ({
      name,
      type: 'F32',
      offset,
      rows: shape.length === 1 ? 1 : (shape[0] ?? 1),
      cols: shape.at(-1) ?? 1,
      transposed: false,
      interleavedHeads: 0,
    })),
  }
}
