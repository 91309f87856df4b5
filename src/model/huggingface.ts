import { join } from 'node:path'
import { OneroundError } from '../errors.js'
import { parseJsonObject, readBoundedFile } from '../text/bounded-file.js'
import type { Architecture } from './architectures.js'
import { readConfig } from './config.js'
import { decoderSpec, type FoundTensor } from './decoder.js'
import { Settings } from './settings.js'
import type { ModelSpec } from './spec.js'
import { type WeightFiles, weightFiles } from './weight-files.js'

const CONFIG_LIMIT = 1 << 20

/** Spec of a Hugging Face folder: config.json and model.safetensors, in one file or sharded. Reads headers only. */
export async function huggingFaceSpec(folder: string): Promise<ModelSpec> {
  const source = join(folder, 'config.json')
  const bytes = await readBoundedFile(source, CONFIG_LIMIT)
  if (bytes === undefined) {
    throw new OneroundError('NOT_FOUND', `${folder} has no config.json`, {
      found: 'a folder without it',
      expected: 'a Hugging Face model folder: config.json, model.safetensors, tokenizer.json',
      fix: 'Pass the folder that holds config.json, or a .gguf file.',
    })
  }
  const config = new Settings(new Map(Object.entries(parseJsonObject(bytes, source))), source)
  const { architecture, shape, maxPositions } = readConfig(config)
  const { files, entries } = await weightFiles(folder)
  return decoderSpec({
    source: folder,
    architecture,
    shape,
    maxPositions,
    files,
    tensors: foundTensors(folder, entries, architecture, shape.tied),
    transposed: architecture.transposed,
    interleaved: false,
    bosToken: config.token('bos_token_id', shape.vocabulary),
    eosToken: config.token('eos_token_id', shape.vocabulary),
  })
}

function foundTensors(
  folder: string,
  entries: WeightFiles['entries'],
  { leftovers, optionalPrefix = '' }: Architecture,
  tied: boolean,
): Map<string, FoundTensor> {
  const tensors = new Map<string, FoundTensor>()
  for (const { name: ownName, dtype, shape, offset, file } of entries) {
    if (leftovers.test(ownName) || (tied && ownName === 'lm_head.weight')) continue
    const whole = ownName.startsWith(optionalPrefix) || ownName.startsWith('lm_head.')
    const name = whole ? ownName : `${optionalPrefix}${ownName}`
    if (tensors.has(name)) {
      throw new OneroundError('MALFORMED', `${folder} has one tensor under two names`, {
        found: `${ownName} and ${name}`,
        expected: 'one of them',
        fix: 'Download the model again.',
      })
    }
    tensors.set(name, { ownName, file, offset, type: dtype, shape })
  }
  return tensors
}
