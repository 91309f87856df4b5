/** Writes a model, or base + adapter, as a Hugging Face folder or as a GGUF file. */
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { OneroundError } from '../errors.js'
import { layOutFolder, layOutGgufFile } from '../model/lay-out.js'
import type { Model } from '../model/open.js'
import type { OutputModel, OutputType } from '../model/output.js'
import { type Content, isCode, writeAtomic, writeSealed } from '../run/atomic.js'
import type { Adapter } from './adapter.js'
import { checkFits } from './fits.js'
import { Merge, type MergeOptions } from './merge.js'
import type { SurvivalReport } from './survival.js'

export interface WriteModelOptions extends Omit<MergeOptions, 'onBytes'> {
  type: OutputType
  /** write although more than a tenth of dW is lost */
  lossy?: boolean | undefined
  /** in bytes of weights */
  onProgress?: ((p: { done: number; total: number }) => void) | undefined
  /** hf: most bytes of tensors in one file, default 5 GB */
  shardBytes?: number | undefined
}

export interface WrittenModel {
  /** paths */
  files: string[]
  bytes: number
  notes: string[]
  survival: SurvivalReport
}

/**
 * A Hugging Face folder; config.json is placed last.
 * @throws OneroundError MISMATCH (an adapter of another base), REFUSED (too lossy), UNSUPPORTED, IO; nothing is left behind
 */
export async function writeModelFolder(
  base: Model,
  adapter: Adapter | undefined,
  folder: string,
  o: WriteModelOptions,
): Promise<WrittenModel> {
  if (adapter !== undefined) checkFits(adapter, base.spec)
  const output = await layOutFolder(base, o)
  await refuseStrangers(folder, output)
  const merge = mergeOf(base, adapter, output, o)
  const weights = output.files.map((file, index): [string, Content] => [
    file.name,
    async (handle) => {
      await merge.write(handle, file)
      // Only now is all known, and nothing has been placed yet.
      if (index === output.files.length - 1 && o.lossy !== true) merge.survival.check(o.type)
    },
  ])
  await writeSealed(folder, [...weights, ...output.texts])
  return {
    files: [...weights, ...output.texts].map(([name]) => join(folder, name)),
    bytes: totalOf(output),
    notes: output.notes,
    survival: merge.survival.report(),
  }
}

/** One GGUF file. @throws as writeModelFolder */
export async function writeModelGguf(
  base: Model,
  adapter: Adapter | undefined,
  path: string,
  o: WriteModelOptions,
): Promise<WrittenModel> {
  if (adapter !== undefined) checkFits(adapter, base.spec)
  const output = await layOutGgufFile(base, basename(path), o)
  const merge = mergeOf(base, adapter, output, o)
  const [file] = output.files
  if (file === undefined) throw new RangeError('a GGUF model without a file')
  await writeAtomic(path, async (handle) => {
    await merge.write(handle, file)
    if (o.lossy !== true) merge.survival.check(o.type)
  })
  return { files: [path], bytes: totalOf(output), notes: output.notes, survival: merge.survival.report() }
}

function mergeOf(base: Model, adapter: Adapter | undefined, output: OutputModel, o: WriteModelOptions): Merge {
  const total = totalOf(output)
  let done = 0
  return new Merge(base, adapter, {
    signal: o.signal,
    threads: o.threads,
    onBytes: (bytes) => {
      done += bytes
      o.onProgress?.({ done, total })
    },
  })
}

function totalOf({ files }: OutputModel): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** Weights of another model in the same folder would be read instead of these, or beside them. */
async function refuseStrangers(folder: string, { files, texts }: OutputModel): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (isCode(error, 'ENOENT')) return []
    throw error
  })
  const own = new Set([...files, ...texts.map(([name]) => ({ name }))].map(({ name }) => name))
  const stranger = names.find((name) => /\.safetensors(\.index\.json)?$/.test(name) && !own.has(name))
  if (stranger === undefined) return
  throw new OneroundError('REFUSED', `${folder} holds other weights already.`, {
    found: stranger,
    expected: 'an empty folder',
    fix: 'Choose another folder for --out.',
  })
}
