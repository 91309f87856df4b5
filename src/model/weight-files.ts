import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { OneroundError } from '../errors.js'
import { fileError, isRecord, parseJsonObject, readBoundedFile } from '../text/bounded-file.js'
import { readSafetensorsHeader, type SafetensorsEntry } from './safetensors.js'

export const WHOLE = 'model.safetensors'
export const INDEX = 'model.safetensors.index.json'
const INDEX_LIMIT = 64 << 20
const MAX_SHARDS = 4096

export interface WeightFiles {
  /** paths */
  files: string[]
  entries: (SafetensorsEntry & { file: number })[]
}

/** Headers of a model's weights. A single file goes before an index, as in transformers where both are there. */
export async function weightFiles(folder: string): Promise<WeightFiles> {
  let names: string[]
  try {
    names = await readdir(folder)
  } catch (cause) {
    throw fileError(folder, cause)
  }
  if (names.includes(WHOLE)) {
    const file = join(folder, WHOLE)
    const { tensors } = await readSafetensorsHeader(file)
    return { files: [file], entries: tensors.map((entry) => ({ ...entry, file: 0 })) }
  }
  if (names.includes(INDEX)) return shards(folder)
  throw nothingThere(folder, names)
}

async function shards(folder: string): Promise<WeightFiles> {
  const source = join(folder, INDEX)
  const placement = shardOfTensor(await readBoundedFile(source, INDEX_LIMIT), source)
  const names = [...new Set(placement.values())].sort()
  if (names.length > MAX_SHARDS) throw badIndex(source, `${names.length} shards`, `at most ${MAX_SHARDS}`)
  const files = names.map((name) => join(folder, name))
  const entries: WeightFiles['entries'] = []
  for (const [file, path] of files.entries()) {
    const { tensors } = await readSafetensorsHeader(path)
    for (const entry of tensors) {
      const listed = placement.get(entry.name)
      if (listed !== names[file]) {
        throw badIndex(source, `${entry.name} in ${names[file]}`, `it in ${listed ?? 'no shard'}, as the index says`)
      }
      placement.delete(entry.name)
      entries.push({ ...entry, file })
    }
  }
  const [missing] = placement
  if (missing !== undefined)
    throw badIndex(source, `no tensor ${missing[0]} in ${missing[1]}`, 'each tensor in its shard')
  return { files, entries }
}

/** Tensor name -> shard. A shard's name is a name in the same folder: an index must not reach other files. */
function shardOfTensor(bytes: Buffer | undefined, source: string): Map<string, string> {
  const map: unknown = parseJsonObject(bytes ?? Buffer.alloc(0), source).weight_map
  if (!isRecord(map)) throw badIndex(source, 'no weight_map', 'an object of tensor names and files')
  const result = new Map<string, string>()
  for (const [tensor, shard] of Object.entries(map)) {
    if (typeof shard !== 'string' || !/^[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors$/.test(shard)) {
      throw badIndex(source, `${tensor} in ${JSON.stringify(shard)}`, 'the name of a .safetensors file in this folder')
    }
    result.set(tensor, shard)
  }
  return result
}

function badIndex(source: string, found: string, expected: string): OneroundError {
  const fix = 'Download the model again.'
  return new OneroundError('MALFORMED', `${source} does not describe its shards`, { found, expected, fix })
}

function nothingThere(folder: string, names: string[]): OneroundError {
  const gguf = names.find((name) => name.endsWith('.gguf'))
  const pickled = names.find((name) => /^pytorch_model.*\.bin(\.index\.json)?$/.test(name))
  let fix = 'Pass the folder that holds the weights.'
  if (gguf !== undefined) fix = `Pass the file itself: ${join(folder, gguf)}.`
  else if (pickled !== undefined)
    fix = 'Save the model as safetensors (save_pretrained does); pickled weights are not read.'
  return new OneroundError('NOT_FOUND', `${folder} has no weights in safetensors`, {
    found: gguf ?? pickled ?? 'neither of the two files',
    expected: `${WHOLE} or ${INDEX}`,
    fix,
  })
}
