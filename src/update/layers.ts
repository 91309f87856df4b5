/** Which layers train, with which rank and scale. */
import type { Layer } from '../adapter/adapter.js'
import { countOf } from '../adapter/dense.js'
import { patternTable } from '../adapter/pattern.js'
import { scaleOf } from '../adapter/peft-config.js'
import { OneroundError } from '../errors.js'
import type { FactorTrainable, Plan, Trainable } from './plan-schema.js'

/** A linear layer of the base. */
export interface LinearLayer {
  name: string
  in: number
  out: number
}

/**
 * The layers of the base that `trainable` targets, in the base's order. A target names a layer or its end after a
 * dot; patterns follow PEFT's rule. Targets and patterns that match nothing are refused: they are spelling mistakes.
 */
export function resolveLayers(linearLayers: readonly LinearLayer[], trainable: Trainable): Layer[] {
  if (trainable.kind === 'full') return []
  const chosen = linearLayers.filter((layer) => isTargeted(layer.name, trainable.targets))
  checkTargets(linearLayers, trainable)
  const rankPattern = trainable.rankPattern ?? {}
  const alphaPattern = trainable.alphaPattern ?? {}
  const ranks = usedTable(rankPattern, chosen, 'rankPattern')
  const alphas = usedTable(alphaPattern, chosen, 'alphaPattern')
  return chosen.map((layer) => {
    const rank = ranks(layer.name) ?? trainable.rank
    const alpha = alphas(layer.name) ?? trainable.alpha
    if (rank > Math.min(layer.in, layer.out)) {
      throw new OneroundError('ARGUMENT', `The rank of layer '${layer.name}' is higher than the layer is wide.`, {
        found: `rank ${rank}`,
        expected: `at most ${Math.min(layer.in, layer.out)} (in ${layer.in}, out ${layer.out})`,
        fix: 'Lower the rank, or give this layer its own in rankPattern.',
      })
    }
    return {
      name: layer.name,
      in: layer.in,
      out: layer.out,
      rank,
      scale: scaleOf(alpha, rank, trainable.rsLora ?? false),
    }
  })
}

/** The full names of what trains under a plan: tensors, or layers whose factors train. */
function trainedNames(plan: Pick<Plan, 'layers' | 'train'>): string[] {
  const { trainable } = plan.train
  return (trainable.kind === 'full' ? trainable.tensors : plan.layers).map(({ name }) => name)
}

/** Numbers that an update of a plan holds. */
export function updateCount(plan: Pick<Plan, 'layers' | 'train'>): number {
  const { trainable } = plan.train
  switch (trainable.kind) {
    case 'full':
      return trainable.tensors.reduce((sum, { shape }) => sum + countOf(shape), 0)
    case 'lora':
      return factorCount(plan.layers)
    case 'ffa':
      return plan.layers.reduce((sum, { out, rank }) => sum + out * rank, 0)
    case 'fed-sb':
      return plan.layers.reduce((sum, { rank }) => sum + rank * rank, 0)
  }
}

/** Weight decay by the plan's patterns; undefined: the common rule. A key that decides nothing is a spelling mistake. */
export function decayTable(plan: Pick<Plan, 'layers' | 'train'>): (name: string) => number | undefined {
  const names = trainedNames(plan).map((name) => ({ name }))
  return usedTable(plan.train.weightDecayPattern ?? {}, names, 'weightDecayPattern')
}

/** Numbers of these layers' factors. */
function factorCount(layers: readonly Layer[]): number {
  return layers.reduce((sum, layer) => sum + layer.rank * (layer.in + layer.out), 0)
}

function isTargeted(name: string, targets: FactorTrainable['targets']): boolean {
  return targets === 'all-linear' || targets.some((target) => matches(name, target))
}

function matches(name: string, target: string): boolean {
  return name === target || name.endsWith(`.${target}`)
}

function checkTargets(layers: readonly LinearLayer[], trainable: FactorTrainable): void {
  if (trainable.targets === 'all-linear') return
  for (const target of trainable.targets) {
    if (layers.some((layer) => matches(layer.name, target))) continue
    throw new OneroundError('NOT_FOUND', `No linear layer of the base is called '${target}'.`, {
      found: target,
      expected: `some of: ${suffixes(layers).join(', ')}`,
      fix: "Correct the target, or use 'all-linear'.",
    })
  }
}

function usedTable(
  pattern: Readonly<Record<string, number>>,
  layers: readonly { name: string }[],
  field: string,
): (name: string) => number | undefined {
  const keys = Object.keys(pattern)
  const table = patternTable(keys, field)
  const used = new Set(layers.map((layer) => table.keyOf(layer.name)))
  const idle = keys.find((key) => !used.has(key))
  if (idle !== undefined) {
    throw new OneroundError('NOT_FOUND', `${field} has a key that no trained layer takes its value from: '${idle}'.`, {
      found: idle,
      expected: `a name, or its end after a dot, out of: ${suffixes(layers).join(', ')}; the first key that matches counts`,
      fix: 'Correct the key or take it out.',
    })
  }
  return (name) => {
    const key = table.keyOf(name)
    return key === undefined ? undefined : pattern[key]
  }
}

/** The last parts of the names, each once. */
function suffixes(layers: readonly { name: string }[]): string[] {
  return [...new Set(layers.map((layer) => layer.name.split('.').at(-1) ?? layer.name))]
}
