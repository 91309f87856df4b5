/** Reads a PEFT folder. Files may come from other software: F32, F16 and BF16 factors are taken. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { OneroundError } from '../errors.js'
import { readSafetensors, type SafetensorsTensor } from '../model/safetensors.js'
import { isCode } from '../run/atomic.js'
import { type Adapter, type AdapterLayer, makeAdapter } from './adapter.js'
import { floatsOf } from './floats.js'
import { layerSettings, type PeftConfig, parsePeftConfig } from './peft-config.js'
import { FACTORS_FILE, METHOD_KEY, PEFT_PREFIX, PEFT_SEAL } from './peft-save.js'

export { savePeft } from './peft-save.js'

export const CONFIG_LIMIT = 16 * 2 ** 20

/**
 * The adapter in a PEFT folder; each layer's scale is exactly what PEFT computes. Layers come in the order of their
 * names' parts. `loadAdapter` also reads what PEFT has no place for.
 */
export async function loadPeft(folder: string): Promise<Adapter> {
  const configFile = join(folder, PEFT_SEAL)
  const config = parsePeftConfig(await readConfig(configFile), configFile)
  const { layers, method } = await readFactors(join(folder, FACTORS_FILE), config, configFile)
  const { base_model_name_or_path: base, revision } = config
  return makeAdapter(layers, [], { base: base ?? undefined, revision: revision ?? undefined, method })
}

/** The layers in a file of factors under a config; `configFile` names the config in errors. */
export async function readFactors(
  file: string,
  config: PeftConfig,
  configFile: string,
): Promise<{ layers: AdapterLayer[]; method: string | undefined }> {
  const settings = layerSettings(config, configFile)
  const { tensors, metadata } = await readSafetensors(file)
  const layers: AdapterLayer[] = []
  for (const [name, pair] of pairsOf(tensors, file)) layers.push(layerOf(name, pair, settings(name), file))
  if (layers.length === 0) {
    throw new OneroundError('MALFORMED', `${file} holds no layer.`, {
      expected: 'lora_A and lora_B tensors',
      fix: 'Save the adapter again.',
    })
  }
  layers.sort((left, right) => compareNames(left.name, right.name))
  return { layers, method: metadata[METHOD_KEY] }
}

interface Pair {
  a?: SafetensorsTensor
  b?: SafetensorsTensor
}

function pairsOf(tensors: ReadonlyMap<string, SafetensorsTensor>, file: string): Map<string, Pair> {
  const pairs = new Map<string, Pair>()
  for (const [key, tensor] of tensors) {
    const match = /^base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight$/.exec(key)
    const [, name, half] = match ?? []
    if (name === undefined) {
      throw new OneroundError(
        'UNSUPPORTED',
        `${file} holds a tensor that is no LoRA factor of a linear layer: '${key.slice(0, 200)}'.`,
        {
          expected: `${PEFT_PREFIX}LAYER.lora_A.weight and .lora_B.weight`,
          fix: 'Use an adapter without modules_to_save, DoRA or embedding factors.',
        },
      )
    }
    const pair = pairs.get(name) ?? {}
    pairs.set(name, half === 'A' ? { ...pair, a: tensor } : { ...pair, b: tensor })
  }
  return pairs
}

function layerOf(name: string, pair: Pair, settings: { rank: number; scale: number }, file: string): AdapterLayer {
  const { a, b } = pair
  if (a === undefined || b === undefined) {
    throw new OneroundError('MALFORMED', `${file}: layer '${name}' has only one factor.`, {
      found: a === undefined ? 'lora_B' : 'lora_A',
      expected: 'lora_A and lora_B',
      fix: 'Save the adapter again.',
    })
  }
  const [rankA, inputs] = a.shape
  const [outputs, rankB] = b.shape
  const { rank, scale } = settings
  if (a.shape.length !== 2 || b.shape.length !== 2 || rankA !== rank || rankB !== rank || !inputs || !outputs) {
    throw new OneroundError(
      'MISMATCH',
      `${file}: the factors of layer '${name}' do not have the rank that adapter_config.json states.`,
      {
        found: `lora_A [${a.shape.join(', ')}], lora_B [${b.shape.join(', ')}]`,
        expected: `lora_A [${rank}, in], lora_B [out, ${rank}]`,
        fix: 'Correct r or rank_pattern in adapter_config.json, or save the adapter again.',
      },
    )
  }
  return {
    name,
    in: inputs,
    out: outputs,
    rank,
    scale,
    a: floatsOf(a, `${file}: ${name}.lora_A`),
    b: floatsOf(b, `${file}: ${name}.lora_B`),
  }
}

async function readConfig(file: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > CONFIG_LIMIT) {
      throw new OneroundError('MALFORMED', `${file} is too long.`, {
        found: `${size} bytes`,
        expected: `at most ${CONFIG_LIMIT}`,
        fix: 'Save the adapter again.',
      })
    }
    return await readFile(file, 'utf8')
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'ENOTDIR')) throw error
    throw new OneroundError('NOT_FOUND', `${file} is not there.`, {
      expected: 'a PEFT folder with adapter_config.json and adapter_model.safetensors',
      fix: 'Give the folder of a saved adapter.',
      cause: error,
    })
  }
}

/** Orders names part by part, numbers by their value: layers.2 before layers.10. */
export function compareNames(left: string, right: string): number {
  const a = left.split('.')
  const b = right.split('.')
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const x = a[i] ?? ''
    const y = b[i] ?? ''
    if (x === y) continue
    if (/^\d+$/.test(x) && /^\d+$/.test(y)) return Number(x) - Number(y)
    return x < y ? -1 : 1
  }
  return a.length - b.length
}
