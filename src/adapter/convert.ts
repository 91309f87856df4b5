/** From any form of an adapter or a model to any other that can hold it. */
import { join } from 'node:path'
import { OneroundError } from '../errors.js'
import { type Model, openModel } from '../model/open.js'
import type { OutputType } from '../model/output.js'
import type { Adapter } from './adapter.js'
import { checkFits } from './fits.js'
import { adapterFileNames, loadAdapter } from './folder.js'
import { type Form, formOf, unknownForm } from './forms.js'
import { loadGgufAdapter } from './gguf-adapter.js'
import { saveGgufAdapter } from './gguf-adapter-save.js'
import { loadMlx } from './mlx.js'
import { MLX_CONFIG, MLX_FILE, saveMlx } from './mlx-save.js'
import { exportOnnx } from './onnx/export.js'
import type { SurvivalReport } from './survival.js'
import { type WriteModelOptions, writeModelFolder, writeModelGguf } from './write-merged.js'

export const TARGETS = ['peft', 'gguf', 'mlx', 'hf', 'onnx'] as const
export type Target = (typeof TARGETS)[number]

export interface ConvertOptions extends Omit<WriteModelOptions, 'type'> {
  to: Target
  /** a folder for peft, mlx, hf and onnx, a file for gguf */
  out: string
  /** the model that the adapter belongs to: for GGUF adapters, whose names and row order are the base's, and to merge */
  base?: Model | undefined
  /** base + adapter as one model; hf or gguf */
  merge?: boolean | undefined
  /** onnx: the factors are inputs of the graph, so that one graph serves many adapters */
  adapterApart?: boolean | undefined
  /** of a written model; default F32 */
  type?: OutputType | undefined
}

export interface Conversion {
  from: Form
  to: Target
  files: string[]
  /** what the new form does not hold as the old one did, one sentence each; empty: nothing */
  notes: string[]
  /** adapters: number of layers */
  layers?: number
  /** models: bytes of weights, and what of dW survived */
  bytes?: number
  survival?: SurvivalReport
}

/**
 * @param source a PEFT folder or one of oneround's own, an MLX adapter folder, a GGUF adapter or model, or a Hugging Face model folder
 * @throws OneroundError ARGUMENT, MISMATCH (another base), REFUSED (too lossy), UNSUPPORTED, MALFORMED, IO; nothing is left behind
 */
export async function convert(source: string, o: ConvertOptions): Promise<Conversion> {
  const from = await formOf(source)
  if (from === undefined) throw unknownForm(source)
  if (from === 'hf' || from === 'gguf') return convertModel(source, from, o)
  const adapter = await readAdapter(source, from, o.base)
  if (o.base !== undefined) checkFits(adapter, o.base.spec)
  if (o.to === 'onnx') return { from, ...(await saveOnnx(o.base, adapter, o)) }
  if (o.merge !== true) return { from, ...(await saveAs(adapter, o)) }
  if (o.base === undefined) throw needsBase('Merging')
  if (o.to !== 'hf' && o.to !== 'gguf') {
    throw usage(`${o.to} holds adapters, not merged models`, `--merge --to ${o.to}`, '--to hf or --to gguf')
  }
  return { from, ...(await saveModel(o.base, adapter, o.to, o)) }
}

/** An adapter in any of its forms. @param base needed for GGUF */
export async function readAdapter(source: string, form: Form | undefined, base: Model | undefined): Promise<Adapter> {
  if (form === 'peft') return loadAdapter(source)
  if (form === 'mlx') return loadMlx(source)
  if (form !== 'gguf-adapter') throw unknownForm(source)
  if (base === undefined) throw needsBase('Reading a GGUF adapter')
  return loadGgufAdapter(source, base.spec)
}

/** A graph of the base with the adapter merged in or as its inputs; `base` is the model itself where there is no adapter. */
async function saveOnnx(
  base: Model | undefined,
  adapter: Adapter | undefined,
  o: ConvertOptions,
): Promise<Omit<Conversion, 'from'>> {
  if (base === undefined) throw needsBase('An ONNX graph')
  if (o.type !== undefined && o.type !== 'F32') throw usage('ONNX graphs are written in F32', `--type ${o.type}`, 'F32')
  if (o.merge === true && o.adapterApart === true)
    throw usage('An adapter is merged or kept apart', '--merge and --adapter-apart', 'one of them')
  const adapterAs = o.adapterApart === true ? 'apart' : 'merged'
  const { files, bytes, notes } = await exportOnnx(base, o.out, { ...o, adapter, adapterAs })
  return { to: 'onnx', files, bytes, notes }
}

async function saveAs(adapter: Adapter, { to, out, base, type }: ConvertOptions): Promise<Omit<Conversion, 'from'>> {
  if (type !== undefined) throw usage('Adapters are written in F32', `--type ${type} without --merge`, 'no --type')
  const layers = adapter.layers.filter(({ rank }) => rank > 0).length
  switch (to) {
    case 'peft':
      await adapter.save(out)
      return { to, layers, notes: [], files: adapterFileNames(adapter).map((name) => join(out, name)) }
    case 'mlx':
      return { to, layers, notes: await saveMlx(adapter, out), files: [join(out, MLX_FILE), join(out, MLX_CONFIG)] }
    case 'gguf':
      if (base === undefined) throw needsBase('Writing a GGUF adapter')
      return { to, layers, notes: await saveGgufAdapter(adapter, out, base.spec), files: [out] }
    case 'onnx':
      throw needsBase('An ONNX graph')
    case 'hf':
      throw usage('A Hugging Face folder holds a whole model', '--to hf for an adapter', '--to hf --merge, with --base')
  }
}

async function convertModel(source: string, from: Form, o: ConvertOptions): Promise<Conversion> {
  if (o.base !== undefined || o.merge === true) {
    throw usage('Only an adapter is merged into a base', `${source}, which is a model`, 'an adapter')
  }
  if (o.to !== 'hf' && o.to !== 'gguf' && o.to !== 'onnx')
    throw usage(`${o.to} holds adapters`, `${source}, which is a model`, 'an adapter')
  await using model = await openModel(source)
  if (o.to === 'onnx') return { from, ...(await saveOnnx(model, undefined, o)) }
  return { from, ...(await saveModel(model, undefined, o.to, o)) }
}

async function saveModel(
  base: Model,
  adapter: Adapter | undefined,
  to: 'hf' | 'gguf',
  o: ConvertOptions,
): Promise<Omit<Conversion, 'from'>> {
  const write = to === 'hf' ? writeModelFolder : writeModelGguf
  return { to, ...(await write(base, adapter, o.out, { ...o, type: o.type ?? 'F32' })) }
}

function needsBase(what: string): OneroundError {
  return usage(`${what} needs the base model`, 'no --base', 'the model that the adapter was trained on')
}

function usage(message: string, found: string, expected: string): OneroundError {
  return new OneroundError('ARGUMENT', `${message}.`, {
    found,
    expected,
    fix: 'See oneround convert --help for examples.',
  })
}
