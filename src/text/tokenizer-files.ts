import { join } from 'node:path'
import { OneroundError } from '../errors.js'
import { isRecord, parseJsonObject, readBoundedFile } from './bounded-file.js'
import { digestParts } from './digest.js'
import { buildTokenizer, type TokenizerSource } from './tokenizer.js'

const TOKENIZER_LIMIT = 256 << 20
const SMALL_LIMIT = 4 << 20

export interface SpecialTokens {
  bosToken?: number
  eosToken?: number
}

/**
 * The tokenizer of a folder: tokenizer.json, with tokenizer_config.json and chat_template.jinja where they are there.
 * @param special taken where the files do not name these tokens
 * @returns undefined where the folder has no tokenizer.json
 */
export async function tokenizerOfFolder(folder: string, special: SpecialTokens): Promise<TokenizerSource | undefined> {
  const source = join(folder, 'tokenizer.json')
  const configFile = join(folder, 'tokenizer_config.json')
  const [json, configBytes, jinja] = await Promise.all([
    readBoundedFile(source, TOKENIZER_LIMIT),
    readBoundedFile(configFile, SMALL_LIMIT),
    readBoundedFile(join(folder, 'chat_template.jinja'), SMALL_LIMIT),
  ])
  if (json === undefined) return undefined
  const config = configBytes === undefined ? {} : parseJsonObject(configBytes, configFile)
  const chatTemplate = jinja?.toString('utf8') ?? defaultTemplate(config.chat_template)
  const { bosToken, eosToken } = special
  const named = { bos: config.bos_token ?? bosToken ?? null, eos: config.eos_token ?? eosToken ?? null }
  const sha256 = digestParts([
    ['tokenizer.json', json],
    ['special', JSON.stringify(named)],
    ['chat_template', chatTemplate ?? ''],
  ])
  return {
    sha256,
    build: () =>
      buildTokenizer({ json: parseJsonObject(json, source), config, chatTemplate, bosToken, eosToken, sha256, source }),
  }
}

/** tokenizer_config.json holds one template, or a list of named ones of which `default` is meant for chat. */
export function defaultTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) return undefined
  for (const entry of value as unknown[]) {
    if (isRecord(entry) && entry.name === 'default' && typeof entry.template === 'string') return entry.template
  }
  return undefined
}

/** Stands where a model comes without a tokenizer: its weights can be used, its tokenizer cannot. */
export function noTokenizer(model: string, folder: string): TokenizerSource {
  return {
    sha256: digestParts([]),
    build: () => {
      throw new OneroundError('NOT_FOUND', `${model} has no tokenizer`, {
        found: 'no tokenizer.json',
        expected: join(folder, 'tokenizer.json'),
        fix: "Put the model's tokenizer.json beside it.",
      })
    },
  }
}
