/** config.json and the tokenizer's files of a written folder, from what the source has. config.json is the last. */
import { dirname } from 'node:path'
import { OneroundError } from '../errors.js'
import { tokenizerJson } from '../text/gguf-tokenizer.js'
import { readConfig } from './config.js'
import { configOf, retyped } from './config-write.js'
import { filesBeside, jsonBeside } from './files-beside.js'
import { readGguf } from './gguf.js'
import { ROPE_FACTORS, ropeScaling } from './gguf-rope.js'
import type { GgufValue } from './gguf-values.js'
import type { OutputModel, OutputType } from './output.js'
import { Settings } from './settings.js'
import type { ModelSpec } from './spec.js'

type Beside = Pick<OutputModel, 'texts' | 'notes'>

export async function besideFolder(source: string, type: OutputType): Promise<Beside> {
  const config = (await jsonBeside(source, 'config.json')) ?? {}
  return { texts: [...(await filesBeside(source)), configText(retyped(config, type))], notes: [] }
}

/** A config.json beside the GGUF file is taken where it means the same decoder; otherwise one is made. */
export async function besideGguf(source: string, spec: ModelSpec, type: OutputType): Promise<Beside> {
  const folder = dirname(source)
  const gguf = await readGguf(source)
  const own = await jsonBeside(folder, 'config.json')
  const config = own !== undefined && meansSame(own, spec) ? own : madeConfig(source, spec, gguf)
  const files = await filesBeside(folder)
  const notes: string[] = []
  const texts: OutputModel['texts'] = [...files]
  if (!files.some(([name]) => name === 'tokenizer.json')) addTokenizer(texts, notes, gguf.metadata, source, spec)
  return { texts: [...texts, configText(retyped(config, type))], notes }
}

function configText(config: Record<string, unknown>): [string, string] {
  return ['config.json', `${JSON.stringify(config, undefined, 2)}\n`]
}

/** Whether a config.json gives the numbers that the GGUF file gave, in single precision. */
function meansSame(config: Record<string, unknown>, spec: ModelSpec): boolean {
  try {
    const { shape, architecture } = readConfig(new Settings(new Map(Object.entries(config)), 'config.json'))
    return architecture.name === spec.architecture && numbers(shape) === numbers(spec.shape)
  } catch {
    return false
  }
}

function numbers({ inverseFrequencies, ...rest }: ModelSpec['shape']): string {
  const single = { ...rest, normEpsilon: Math.fround(rest.normEpsilon) }
  const sorted = Object.entries(single).sort(([left], [right]) => (left < right ? -1 : 1))
  return JSON.stringify([sorted, [...inverseFrequencies].map((value) => value.toPrecision(6))])
}

function madeConfig(
  source: string,
  spec: ModelSpec,
  gguf: { metadata: ReadonlyMap<string, GgufValue>; tensors: readonly { name: string }[] },
): Record<string, unknown> {
  if (gguf.tensors.some(({ name }) => name === ROPE_FACTORS)) {
    throw new OneroundError(
      'UNSUPPORTED',
      `${source} stretches its rope in a way that no config.json can be made of.`,
      {
        found: ROPE_FACTORS,
        expected: "the model's config.json beside the file",
        fix: `Put config.json into ${dirname(source)}, or write a GGUF file instead (--to gguf).`,
      },
    )
  }
  const settings = new Settings(gguf.metadata, source)
  const prefix = settings.text('general.architecture')
  const learned = spec.shape.learnedPositions > 0
  const theta = learned ? 0 : settings.positive(`${prefix}.rope.freq_base`, 10_000)
  return configOf(spec, { theta, scaling: learned ? { kind: 'default' } : ropeScaling(settings, prefix) })
}

function addTokenizer(
  texts: OutputModel['texts'],
  notes: string[],
  metadata: ReadonlyMap<string, GgufValue>,
  source: string,
  { bosToken, eosToken }: ModelSpec,
): void {
  try {
    const json = { version: '1.0', truncation: null, padding: null, ...tokenizerJson(metadata, source) }
    texts.push(['tokenizer.json', `${JSON.stringify(json)}\n`])
  } catch (error) {
    if (!(error instanceof OneroundError)) throw error
    notes.push(`The folder has no tokenizer: ${error.message}.`)
    return
  }
  const tokens = metadata.get('tokenizer.ggml.tokens') as readonly string[] // checked by tokenizerJson
  const template = metadata.get('tokenizer.chat_template')
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...(bosToken === undefined ? {} : { bos_token: tokens[bosToken] }),
    ...(eosToken === undefined ? {} : { eos_token: tokens[eosToken] }),
    ...(typeof template === 'string' ? { chat_template: template } : {}),
  }
  texts.push(['tokenizer_config.json', `${JSON.stringify(config, undefined, 2)}\n`])
}
