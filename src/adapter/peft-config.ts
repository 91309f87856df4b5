/**
 * adapter_config.json of PEFT, as far as LoRA on linear layers needs it. Fields that would change the effect and are
 * not built are refused by name; fields that only concern training or other software are passed over.
 * Source: huggingface/peft, src/peft/tuners/lora/config.py.
 */
import { z } from 'zod'
import { OneroundError } from '../errors.js'
import { patternTable } from './pattern.js'

const positive = z.number().positive().max(1e9)
const rank = z.number().int().min(1).max(65536)
/** set to these values, or absent, a field has no effect */
const off = z.union([z.null(), z.literal(false), z.array(z.never()).max(0), z.strictObject({})]).optional()

const schema = z.looseObject({
  peft_type: z.literal('LORA'),
  base_model_name_or_path: z.string().nullish(),
  revision: z.string().nullish(),
  target_modules: z.union([z.string(), z.array(z.string())]).nullish(),
  r: rank,
  lora_alpha: positive,
  use_rslora: z.boolean().default(false),
  rank_pattern: z.record(z.string(), rank).nullish(),
  alpha_pattern: z.record(z.string(), positive).nullish(),
  bias: z.literal('none').default('none'),
  fan_in_fan_out: z.boolean().default(false),
  modules_to_save: off,
  use_dora: off,
  use_qalora: off,
  use_bdlora: off,
  lora_bias: off,
  layer_replication: off,
  target_parameters: off,
  trainable_token_indices: off,
  alora_invocation_tokens: off,
})

export type PeftConfig = z.output<typeof schema>

/** Checks the text of an adapter_config.json. */
export function parsePeftConfig(text: string, file: string): PeftConfig {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new OneroundError('MALFORMED', `${file} is not JSON.`, {
      expected: 'an adapter_config.json of PEFT',
      fix: 'Save the adapter again.',
      cause,
    })
  }
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const field = issue?.path.join('.') || 'the whole file'
  const value = issue?.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], json)
  const unsupported =
    ['modules_to_save', 'peft_type', 'bias'].includes(field) ||
    (field in schema.shape && schema.shape[field as keyof typeof schema.shape] === off)
  throw new OneroundError(
    unsupported ? 'UNSUPPORTED' : 'MALFORMED',
    `${file}: '${field}' ${unsupported ? 'asks for what is not built' : 'is not valid'}.`,
    {
      found: JSON.stringify(value)?.slice(0, 200) ?? 'nothing',
      expected: unsupported
        ? 'plain LoRA on linear layers: peft_type "LORA", bias "none", no modules_to_save, no DoRA'
        : (issue?.message ?? 'an adapter_config.json of PEFT'),
      fix: 'Use an adapter that PEFT saved with plain LoRA.',
    },
  )
}

/** Each layer's rank and scale by a config: alpha / r, or alpha / sqrt(r) with rsLoRA. */
export function layerSettings(config: PeftConfig, file: string): (name: string) => { rank: number; scale: number } {
  const ranks = config.rank_pattern ?? {}
  const alphas = config.alpha_pattern ?? {}
  const rankKeys = patternTable(Object.keys(ranks), `${file}: rank_pattern`)
  const alphaKeys = patternTable(Object.keys(alphas), `${file}: alpha_pattern`)
  return (name) => {
    const rankKey = rankKeys.keyOf(name)
    const alphaKey = alphaKeys.keyOf(name)
    const r = (rankKey === undefined ? undefined : ranks[rankKey]) ?? config.r
    const alpha = (alphaKey === undefined ? undefined : alphas[alphaKey]) ?? config.lora_alpha
    return { rank: r, scale: scaleOf(alpha, r, config.use_rslora) }
  }
}

/** LoRA's scale: alpha / r, or alpha / sqrt(r) with rsLoRA (arXiv 2312.03732). */
export function scaleOf(alpha: number, rank: number, rsLora: boolean): number {
  return rsLora ? alpha / Math.sqrt(rank) : alpha / rank
}
