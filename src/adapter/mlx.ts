/** Reads an adapter folder of mlx-lm. */
import { join } from 'node:path'
import { z } from 'zod'
import { OneroundError } from '../errors.js'
import { readSafetensors } from '../model/safetensors.js'
import { parseJsonObject, readBoundedFile } from '../text/bounded-file.js'
import { type Adapter, type AdapterLayer, makeAdapter } from './adapter.js'
import { MLX_CONFIG, MLX_FILE } from './mlx-save.js'
import { joinPair, type Pair } from './pairs.js'
import { CONFIG_LIMIT, compareNames } from './peft.js'
import { METHOD_KEY } from './peft-save.js'

const FORM = { names: ['lora_a', 'lora_b'], transposed: true } as const

const schema = z.looseObject({
  model: z.string().nullish(),
  fine_tune_type: z.literal('lora').default('lora'),
  lora_parameters: z.looseObject({ scale: z.number().positive().max(1e9) }),
})

/** @throws OneroundError NOT_FOUND, MALFORMED, MISMATCH, UNSUPPORTED */
export async function loadMlx(folder: string): Promise<Adapter> {
  const { scale, base } = await readConfig(join(folder, MLX_CONFIG))
  const file = join(folder, MLX_FILE)
  const { tensors, metadata } = await readSafetensors(file)
  const pairs = new Map<string, Pair>()
  for (const [key, tensor] of tensors) {
    const [, name, half] = /^(.+)\.lora_([ab])$/.exec(key) ?? []
    if (name === undefined || half === undefined) {
      throw new OneroundError('UNSUPPORTED', `${file} holds a tensor that is no LoRA factor: '${key.slice(0, 200)}'.`, {
        found: key.slice(0, 200),
        expected: 'LAYER.lora_a and LAYER.lora_b',
        fix: 'Use an adapter of fine_tune_type lora.',
      })
    }
    const layer = name.replace(/^model\.h\./, 'transformer.h.')
    pairs.set(layer, { ...pairs.get(layer), [half]: tensor })
  }
  const layers: AdapterLayer[] = []
  for (const [name, pair] of pairs) layers.push({ ...joinPair(name, pair, FORM, file), scale })
  if (layers.length === 0) {
    throw new OneroundError('MALFORMED', `${file} holds no layer.`, {
      found: 'no tensor',
      expected: 'lora_a and lora_b tensors',
      fix: 'Save the adapter again.',
    })
  }
  layers.sort((left, right) => compareNames(left.name, right.name))
  return makeAdapter(layers, [], { base, method: metadata[METHOD_KEY] })
}

async function readConfig(file: string): Promise<{ scale: number; base: string | undefined }> {
  const bytes = await readBoundedFile(file, CONFIG_LIMIT)
  if (bytes === undefined) {
    throw new OneroundError('NOT_FOUND', `${file} is not there.`, {
      found: `no ${MLX_CONFIG} beside ${MLX_FILE}`,
      expected: 'an adapter folder of mlx-lm',
      fix: 'Give the folder of a saved adapter.',
    })
  }
  const result = schema.safeParse(parseJsonObject(bytes, file))
  if (result.success) {
    return { scale: result.data.lora_parameters.scale, base: result.data.model ?? undefined }
  }
  const [issue] = result.error.issues
  const field = issue?.path.join('.') || 'the whole file'
  throw new OneroundError(
    field === 'fine_tune_type' ? 'UNSUPPORTED' : 'MALFORMED',
    `${file}: '${field}' is not valid.`,
    {
      found: issue?.message ?? 'another form',
      expected: "fine_tune_type 'lora', and lora_parameters.scale, a number above 0",
      fix: 'Use an adapter that mlx-lm trained with LoRA.',
    },
  )
}
