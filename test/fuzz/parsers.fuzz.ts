/**
 * Mutated files against every parser, many of each: `npm run fuzz`, or `ONEROUND_FUZZ=1000 npm run fuzz` for a short one.
 * A mutation flips bits, writes extreme numbers, cuts, doubles or moves a piece. Whatever a parser throws must be ours, and
 * none may take a tenth of a second or much memory over a file of some kilobytes.
 */
import { Buffer } from 'node:buffer'
import { describe, it } from 'vitest'
import { parsePeftConfig } from '../../src/adapter/peft-config.js'
import { parseTemplate } from '../../src/data/templates.js'
import { readConfig } from '../../src/model/config.js'
import { parseGguf } from '../../src/model/gguf.js'
import { parseSafetensors, serializeSafetensors } from '../../src/model/safetensors.js'
import { Settings } from '../../src/model/settings.js'
import { parseJsonObject } from '../../src/text/bounded-file.js'
import { buildTokenizer } from '../../src/text/tokenizer.js'
import { decodeUpdate } from '../../src/update/decode.js'
import { parsePlan } from '../../src/update/plan.js'
import { serializeUpdate } from '../../src/update/update.js'
import { buildGguf, tinyDecoder } from '../unit/model/gguf-builder.js'
import { planJson, updateOf } from '../unit/update/fixture.js'
import { fuzz } from './mutate.js'

const safetensors = serializeSafetensors(
  new Map([
    ['a', { dtype: 'F32', shape: [2, 3], data: new Uint8Array(24) }],
    ['b', { dtype: 'BF16', shape: [4], data: new Uint8Array(8) }],
  ]),
  { format: 'pt' },
)
const { entries, tensors } = tinyDecoder('llama')
const peft = {
  peft_type: 'LORA',
  target_modules: ['q_proj'],
  r: 4,
  lora_alpha: 8,
  rank_pattern: { 'layers.1.q_proj': 2 },
}
const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const decoded = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

const json = (bytes: Uint8Array) => parseJsonObject(Buffer.from(bytes), 'x')
const fields = 'Question: {question} {{ {hint} }} Answer: {answer}'
const config = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  vocab_size: 257,
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 64,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  rope_scaling: { rope_type: 'linear', factor: 2 },
  hidden_act: 'silu',
  tie_word_embeddings: true,
}
const chatTemplate =
  "{% for m in messages %}{{ '<' + m['role'] + '>' + m.content | trim }}{% if not loop.last %} {% endif %}{% endfor %}" +
  "{% if add_generation_prompt %}{{ bos_token ~ 'assistant' }}{% endif %}"
const tokenizer = {
  added_tokens: [{ id: 6, content: '<end>', special: true }],
  normalizer: { type: 'NFC' },
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
  post_processor: null,
  decoder: { type: 'ByteLevel' },
  model: { type: 'BPE', vocab: { a: 0, b: 1, c: 2, ab: 3, abc: 4, Ġ: 5 }, merges: ['a b', 'ab c'] },
}

function useTokenizer(tokenizerJson: Record<string, unknown>, chatTemplate: string | undefined) {
  const parts = { config: {}, chatTemplate, bosToken: 0, eosToken: 1, sha256: '', source: 'x' }
  const built = buildTokenizer({ json: tokenizerJson, ...parts })
  built.decode(built.encode('abc ab cab <end> a'))
  built.chat?.([
    { role: 'user', content: ' a ' },
    { role: 'assistant', content: 'b' },
  ])
}

const parsers: [name: string, sound: Uint8Array, parse: (bytes: Uint8Array) => unknown][] = [
  ['safetensors', safetensors, (bytes) => parseSafetensors(bytes, 'x')],
  ['GGUF', buildGguf(entries, tensors), (bytes) => parseGguf(bytes, 'x')],
  ['an update', serializeUpdate(updateOf()), (bytes) => decodeUpdate(bytes, 'x')],
  ['a plan', text(planJson()), (bytes) => parsePlan(decoded(bytes))],
  ["a model's config", text(config), (bytes) => readConfig(new Settings(new Map(Object.entries(json(bytes))), 'x'))],
  ['a tokenizer', text(tokenizer), (bytes) => useTokenizer(json(bytes), undefined)],
  ['a chat template', new TextEncoder().encode(chatTemplate), (bytes) => useTokenizer(tokenizer, decoded(bytes))],
  ['a template of fields', new TextEncoder().encode(fields), (bytes) => parseTemplate(decoded(bytes))],
  ["PEFT's config", text(peft), (bytes) => parsePeftConfig(decoded(bytes), 'x')],
]

describe('mutated files', () => {
  it.each(parsers)('%s', fuzz)
})
