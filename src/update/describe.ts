/** Every field that leaves a client, with its meaning: for `train --dry-run` and `inspect`. */
import type { Layer } from '../adapter/adapter.js'
import { ENDINGS } from './decode.js'
import { INFO_FIELDS, KINDS, shareable, type UpdateInfo } from './info.js'
import { updateCount } from './layers.js'
import type { Plan, Trainable } from './plan-schema.js'
import { type StatisticKind, statisticTensors } from './statistic.js'

export interface LeavingField {
  field: string
  meaning: string
  value: string
}

/** Before training, numbers that are not known yet are passed as undefined in `info` and shown as 'known after training'. */
interface Leaving {
  info: Partial<UpdateInfo>
  adapter?: { readonly layers: readonly Layer[] }
}

/** What the update file holds under this plan, metadata first, then factors. The same list is what the file's reader accepts. */
export function describeLeaving(plan: Plan, update: Leaving): LeavingField[] {
  const pending = 'known after training'
  const allowed = shareable(plan, {
    client: '',
    planSha256: '',
    round: 1,
    startSha256: '',
    examples: 0,
    tokens: 0,
    lossBefore: 0,
    lossAfter: 0,
  })
  const fields: LeavingField[] = [{ field: 'oneround.update', meaning: 'version of the format', value: '1' }]
  fields.push({ field: 'kinds', meaning: 'kinds of the tensors below', value: KINDS[plan.train.trainable.kind] })
  for (const [name, { key, meaning }] of Object.entries(INFO_FIELDS)) {
    const field = name as keyof UpdateInfo
    if (allowed[field] === undefined) continue
    fields.push({ field: key, meaning, value: String(update.info[field] ?? pending) })
  }
  const { trainable } = plan.train
  for (const { name, shape } of trainable.kind === 'full' ? trainable.tensors : []) {
    const what = 'how training changed this tensor; text may be inferred from it'
    fields.push({ field: `${name}${ENDINGS.full}`, meaning: what, value: `F32 [${shape.join(', ')}]` })
  }
  for (const layer of update.adapter?.layers ?? plan.layers) {
    const what = `trained factors of this layer; text may be inferred from them`
    if (trainable.kind === 'fed-sb') {
      const value = `F32 [${layer.rank}, ${layer.rank}]`
      fields.push({
        field: `${layer.name}${ENDINGS['fed-sb']}`,
        meaning: 'trained core between frozen factors; text may be inferred from it',
        value,
      })
      continue
    }
    if (trainable.kind === 'lora')
      fields.push({ field: `${layer.name}.lora_A`, meaning: what, value: `F32 [${layer.rank}, ${layer.in}]` })
    fields.push({ field: `${layer.name}.lora_B`, meaning: what, value: `F32 [${layer.out}, ${layer.rank}]` })
  }
  fields.push({ field: '(size)', meaning: 'bytes of all these numbers together', value: String(4 * updateCount(plan)) })
  return fields
}

/** SCAFFOLD's second file, which travels beside the update of every round but the last. */
export function describeControl(plan: Plan): LeavingField[] {
  return [
    { field: '(control)', meaning: 'a second file: client, plan, round, start, and', value: 'scaffold' },
    {
      field: 'difference',
      meaning: 'how the mean gradient of this round differs from what the server has; text may be inferred from it',
      value: `F32 [${updateCount(plan)}]`,
    },
  ]
}

const WHAT = {
  fisher_A: 'how much the loss on the training texts depends on each number; they may be inferred from it',
  fisher_B: 'the same for the other factor',
  inputs: "X'X of what the layer reads in all training texts, summed over tokens; they may be inferred from it",
}

/** What a statistic's file holds, beside the update. */
export function describeStatistic(plan: Plan, kind: StatisticKind): LeavingField[] {
  const tensors = statisticTensors(plan, kind).map(({ name, shape }) => {
    const meaning = WHAT[name.slice(name.lastIndexOf('.') + 1) as keyof typeof WHAT]
    return { field: name, meaning, value: `F32 [${shape.join(', ')}]` }
  })
  const meaning = 'a second file: kind of statistic, client, plan, round, start and SHA-256 of the update, and'
  return [{ field: '(statistic)', meaning, value: kind }, ...tensors]
}

const NAMES = { lora: 'LoRA', ffa: 'FFA-LoRA (A frozen)', 'fed-sb': 'Fed-SB (a core between frozen factors)' } as const

/** What trains, in one line: `LoRA rank 8, alpha 16 on 42 layers (all-linear)`. */
export function describeTrainable(trainable: Trainable, where = ''): string {
  if (trainable.kind === 'full') return `every tensor (${trainable.tensors.length})`
  const { kind, rank, alpha, targets } = trainable
  return `${NAMES[kind]} rank ${rank}, alpha ${alpha}${where} (${Array.isArray(targets) ? targets.join(', ') : targets})`
}
