/** What a model's folder holds beside its weights, to be written beside the weights of another. */
import { join } from 'node:path'
import { parseJsonObject, readBoundedFile } from '../text/bounded-file.js'
import { defaultTemplate } from '../text/tokenizer-files.js'

/** Tokenizer, generation and template files of Hugging Face folders. */
const COPIED = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
  'chat_template.json',
]
const LIMIT = 256 << 20

/** Each of these files that is there, byte for byte. */
export async function filesBeside(folder: string): Promise<[name: string, content: Uint8Array][]> {
  const found: [string, Uint8Array][] = []
  for (const name of COPIED) {
    const bytes = await readBoundedFile(join(folder, name), LIMIT)
    if (bytes !== undefined) found.push([name, bytes])
  }
  return found
}

/** The object in a JSON file of the folder; undefined where there is no such file. */
export async function jsonBeside(folder: string, name: string): Promise<Record<string, unknown> | undefined> {
  const file = join(folder, name)
  const bytes = await readBoundedFile(file, LIMIT)
  return bytes === undefined ? undefined : parseJsonObject(bytes, file)
}

/** The folder's chat template: a file of its own, or a field of tokenizer_config.json. */
export async function templateBeside(folder: string, config: Record<string, unknown>): Promise<string | undefined> {
  const jinja = await readBoundedFile(join(folder, 'chat_template.jinja'), LIMIT)
  return jinja?.toString('utf8') ?? defaultTemplate(config.chat_template)
}
