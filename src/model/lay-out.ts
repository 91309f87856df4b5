/** A model laid out anew: as a Hugging Face folder or as a GGUF file, whatever its source is. */
import { basename } from 'node:path'
import { writtenVocabulary } from '../text/gguf-vocabulary-write.js'
import { besideFolder, besideGguf } from './beside.js'
import { readRope } from './config.js'
import { architectureOf } from './config-write.js'
import { jsonBeside, templateBeside } from './files-beside.js'
import { readGguf } from './gguf.js'
import { decoderMetadata } from './gguf-metadata.js'
import { entriesOfGguf, ggufOutput } from './gguf-output.js'
import { ROPE_FACTORS, readRopeFactors } from './gguf-rope.js'
import { huggingFaceOutput } from './huggingface-write.js'
import type { Model } from './open.js'
import type { OutputModel, OutputType } from './output.js'
import { Settings } from './settings.js'

interface LayOutOptions {
  type: OutputType
  /** hf: most bytes of tensors in one file, default 5 GB; tests take less */
  shardBytes?: number | undefined
}

type Source = Pick<Model, 'source' | 'spec'>

/** @throws OneroundError UNSUPPORTED where a folder cannot hold the model */
export async function layOutFolder({ source, spec }: Source, o: LayOutOptions): Promise<OutputModel> {
  const { transposed } = architectureOf(spec)
  const beside = source.endsWith('.gguf') ? await besideGguf(source, spec, o.type) : await besideFolder(source, o.type)
  return huggingFaceOutput(spec, o.type, transposed, beside, o.shardBytes)
}

/**
 * @param name of the file
 * @throws OneroundError UNSUPPORTED where the file cannot hold the model
 */
export async function layOutGgufFile(model: Source, name: string, o: LayOutOptions): Promise<OutputModel> {
  return model.source.endsWith('.gguf') ? fromGguf(model, name, o) : fromFolder(model, name, o)
}

async function fromGguf({ source, spec }: Source, name: string, { type }: LayOutOptions): Promise<OutputModel> {
  const gguf = await readGguf(source, { raw: true })
  const factors = gguf.tensors.find((tensor) => tensor.name === ROPE_FACTORS)
  return ggufOutput(spec, type, name, {
    entries: entriesOfGguf(gguf),
    interleaved: architectureOf(spec).ggufInterleaved,
    notes: [],
    ...(factors === undefined ? {} : { ropeFactors: await readRopeFactors(factors, spec.shape.headDim / 2, source) }),
  })
}

async function fromFolder({ source, spec }: Source, name: string, { type }: LayOutOptions): Promise<OutputModel> {
  const settings = (await jsonBeside(source, 'config.json')) ?? {}
  const rope = readRope(new Settings(new Map(Object.entries(settings)), source))
  const decoder = decoderMetadata(spec, basename(source), rope)
  const config = (await jsonBeside(source, 'tokenizer_config.json')) ?? {}
  const vocabulary = writtenVocabulary({
    json: await jsonBeside(source, 'tokenizer.json'),
    config,
    chatTemplate: await templateBeside(source, config),
    bosToken: spec.bosToken,
    eosToken: spec.eosToken,
    rows: spec.shape.vocabulary,
  })
  const missing = vocabulary.missing === undefined ? [] : [`The file has no tokenizer: ${vocabulary.missing}.`]
  return ggufOutput(spec, type, name, {
    ...decoder,
    entries: [...decoder.entries, ...vocabulary.entries],
    notes: [...decoder.notes, ...missing],
  })
}
