/** An adapter that was trained elsewhere, as an update of a plan's first round. */
import { type Adapter, type AdapterLayer, makeAdapter } from '../adapter/adapter.js'
import { initialAdapter } from '../adapter/initial.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { checkUpdate } from './checks.js'
import { adapterSha256 } from './digest.js'
import { planSha256 } from './plan.js'
import type { LoraTrainable, Plan } from './plan-schema.js'
import { makeUpdate, shareable, type Update } from './update.js'

export interface AdoptOptions {
  client: string
  /** trained on */
  examples: number
  /** trained on, an epoch; needed where the plan weighs by tokens */
  tokens?: number | undefined
  /** the model that the adapter was trained on, to be compared with the plan's; its weights are read once */
  base?: Model | undefined
}

/**
 * Layers and ranks must be the plan's. A scale that is not the plan's goes into B, where that is exact: a ratio of
 * two scales that is a power of two, or happens to round nothing.
 * @throws OneroundError MISMATCH (layers, rank, base), REFUSED (a scale that would round B, or a rule of updates), UNSUPPORTED
 */
export async function adopt(plan: Plan, adapter: Adapter, o: AdoptOptions): Promise<Update> {
  const trainable = loraOf(plan)
  if (adapter.dense.length > 0) {
    throw mismatch('The adapter holds dense deltas.', adapter.dense[0]?.name ?? '', 'factors of the layers of the plan')
  }
  if (o.base !== undefined) await checkBase(plan, o.base)
  const found = new Map(adapter.layers.filter(({ rank }) => rank > 0).map((layer) => [layer.name, layer]))
  const names = new Set(plan.layers.map(({ name }) => name))
  const stranger = [...found.keys()].find((name) => !names.has(name))
  if (stranger !== undefined) {
    throw mismatch(`The adapter changes layer '${stranger}', which the plan does not train.`, stranger, listed(names))
  }
  const layers = plan.layers.map((agreed): AdapterLayer => {
    const layer = found.get(agreed.name)
    const sizes = (of: { rank: number; in: number; out: number }) => `rank ${of.rank}, in ${of.in}, out ${of.out}`
    if (layer === undefined) {
      throw mismatch(
        `The adapter lacks layer '${agreed.name}', which the plan trains.`,
        listed(found.keys()),
        agreed.name,
      )
    }
    if (sizes(layer) !== sizes(agreed)) {
      throw mismatch(`Layer '${agreed.name}' is not as the plan has it.`, sizes(layer), sizes(agreed))
    }
    return { ...agreed, a: layer.a, b: exactlyScaled(layer, agreed.scale) }
  })
  const start = initialAdapter(plan.layers, plan.train.seed, trainable.initA)
  const { client, examples, tokens } = o
  const stated = { client, planSha256: planSha256(plan), round: 1, startSha256: adapterSha256(start), examples }
  const info = shareable(plan, tokens === undefined ? stated : { ...stated, tokens })
  const update = makeUpdate(info, makeAdapter(layers))
  checkUpdate(plan, update, { round: 1, startSha256: info.startSha256 })
  return update
}

function loraOf({ train: { trainable } }: Plan): LoraTrainable {
  if (trainable.kind === 'lora') return trainable
  throw new OneroundError('UNSUPPORTED', 'Only updates of LoRA can be made from an adapter.', {
    found: `a plan of kind '${trainable.kind}'`,
    expected: "a plan of kind 'lora'",
    fix: 'Train with oneround train, or make a plan with LoRA.',
  })
}

async function checkBase(plan: Plan, base: Model): Promise<void> {
  const { sha256 } = await base.id()
  if (sha256 === plan.base.sha256) return
  throw mismatch(`${base.source} is not the plan's base.`, `weights ${sha256}`, `weights ${plan.base.sha256}`)
}

/** B times the ratio of the scales, each product a number that f32 holds. */
function exactlyScaled({ name, scale, b }: AdapterLayer, wanted: number): Float32Array {
  if (scale === wanted) return b
  const ratio = scale / wanted
  const scaled = new Float32Array(b.length)
  for (const [i, value] of b.entries()) {
    const product = value * ratio
    scaled[i] = product
    if (scaled[i] === product && product / ratio === value && ratio * wanted === scale) continue
    throw new OneroundError(
      'REFUSED',
      `Layer '${name}' has a scale that cannot be made the plan's without rounding B.`,
      {
        found: `scale ${scale}`,
        expected: `scale ${wanted}, or that times a power of two`,
        fix: "Train with the plan's alpha and rank.",
      },
    )
  }
  return scaled
}

function listed(names: Iterable<string>): string {
  const all = [...names]
  return all.length > 4 ? `${all.slice(0, 4).join(', ')} and ${all.length - 4} more` : all.join(', ')
}

function mismatch(message: string, found: string, expected: string): OneroundError {
  return new OneroundError('MISMATCH', message, {
    found,
    expected,
    fix: "Train an adapter on the plan's base, with its targets and ranks.",
  })
}
