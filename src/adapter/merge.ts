/**
 * Base + adapter as a model of its own. dW is added in double and the sum rounded once into the written type, row by
 * row; what rounding does is measured against dW, because fine-tuning moves weights by a few thousandths and a coarse
 * type swallows that while it hardly changes W.
 */
import type { FileHandle } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { OutputFile, OutputTensor } from '../model/output.js'
import { storageBytes } from '../model/storage.js'
import type { MergeRequest } from '../native/binding/merge.js'
import { native } from '../native/load.js'
import type { Adapter, AdapterLayer } from './adapter.js'
import type { DenseDelta } from './dense.js'
import { transposedOf } from './fits.js'
import { type Squares, Survival } from './survival.js'

/** Bytes of one piece of work, as written. */
const SLICE = 4 << 20

export interface MergeOptions {
  signal?: AbortSignal | undefined
  /** default: all cores */
  threads?: number | undefined
  /** bytes of all files */
  onBytes?: ((bytes: number) => void) | undefined
}

type Piece = MergeRequest & { offset: number; change: boolean }

export class Merge {
  readonly #base: Model
  readonly #layers: ReadonlyMap<string, AdapterLayer>
  readonly #dense: ReadonlyMap<string, DenseDelta>
  readonly #options: MergeOptions
  readonly survival = new Survival()

  constructor(base: Model, adapter: Adapter | undefined, o: MergeOptions) {
    this.#base = base
    this.#layers = new Map(adapter?.layers.filter(({ rank }) => rank > 0).map((one) => [`${one.name}.weight`, one]))
    this.#dense = new Map(adapter?.dense.map((delta) => [delta.name, delta]))
    this.#options = o
  }

  /** Fills an open file with its header and every tensor; as many pieces are in memory as there are threads, and one. */
  async write(handle: FileHandle, file: OutputFile): Promise<void> {
    await handle.truncate(file.bytes)
    await handle.write(file.header, 0, file.header.length, 0)
    for (const { offset, data } of file.others) await handle.write(data, 0, data.length, offset)
    const pieces = file.tensors.flatMap((tensor) => [...this.#pieces(tensor)])
    let next = 0
    const worker = async (): Promise<void> => {
      for (let piece = pieces[next++]; piece !== undefined; piece = pieces[next++]) await this.#write(handle, piece)
    }
    const threads = this.#options.threads ?? availableParallelism()
    const results = await Promise.allSettled(Array.from({ length: threads }, worker))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  *#pieces(tensor: OutputTensor): Generator<Piece> {
    const { name, type, rows, cols, offset, transposed, interleavedHeads } = tensor
    const layer = this.#layers.get(name)
    const delta = this.#dense.get(name)
    const rowBytes = storageBytes(type, [cols])
    // a dense delta is handed over whole, so its tensor is one piece
    const most = delta === undefined ? Math.max(1, Math.floor(SLICE / rowBytes)) : rows
    for (let first = 0; first < rows; first += most) {
      yield {
        tensor: name,
        type,
        transposed,
        interleavedHeads,
        firstRow: first,
        rows: Math.min(most, rows - first),
        offset: offset + first * rowBytes,
        change: layer !== undefined || delta !== undefined,
        ...(layer === undefined ? {} : { factors: layer }),
        ...(delta === undefined ? {} : { delta: delta.values, deltaTransposed: this.#isTransposed(name) }),
      }
    }
  }

  #isTransposed(tensor: string): boolean {
    const { spec } = this.#base
    return transposedOf(
      spec,
      spec.linearLayers.some(({ name }) => `${name}.weight` === tensor),
    )
  }

  async #write(handle: FileHandle, { offset, change, ...request }: Piece): Promise<void> {
    const { signal, onBytes } = this.#options
    if (signal?.aborted) {
      throw new OneroundError('ABORTED', 'Writing the model was stopped.', {
        fix: 'Start it again; nothing was left behind.',
        cause: signal.reason,
      })
    }
    const { bytes, overflows, ...squares } = await native().mergeRows(this.#base.weights, request)
    if (overflows > 0) throw tooLarge(request.tensor, request.type, overflows)
    this.survival.add(request.tensor, squares satisfies Squares, change)
    await handle.write(bytes, 0, bytes.length, offset)
    onBytes?.(bytes.length)
  }
}

function tooLarge(tensor: string, type: string, count: number): OneroundError {
  return new OneroundError('UNSUPPORTED', `${tensor} holds numbers that ${type} cannot.`, {
    found: `${count} numbers above its range`,
    expected: 'numbers within it (F16 ends at 65504)',
    fix: 'Choose BF16 or F32.',
  })
}
