/** tau: how far training moves the weights, relative to the base's. */
import type { Adapter } from '../adapter/adapter.js'
import type { Model } from '../model/open.js'
import { native } from '../native/load.js'
import type { Plan } from '../update/plan.js'
import { effectNorms } from './effect.js'
import { trainedTensors } from './probe.js'
import type { Travel } from './types.js'

interface BaseNorms {
  norm: number
  tensors: Map<string, number>
}

/** Norms of the tensors that a plan moves, dequantised once from the base's files. */
export async function baseNorms(base: Model, plan: Plan): Promise<BaseNorms> {
  const names = trainedTensors(base, plan)
  const squares = await native().squaredNorms(base.weights, names)
  return {
    norm: Math.sqrt(squares.reduce((sum, square) => sum + square, 0)),
    tensors: new Map(names.map((name, i) => [name, Math.sqrt(squares[i] ?? 0)])),
  }
}

/** @param path points of training, the start first */
export async function measureTravel(
  end: Adapter,
  norms: BaseNorms,
  of: Travel['of'],
  path: readonly { step: number; adapter: Adapter }[] = [],
): Promise<Travel> {
  const { norm, tensors } = await effectNorms({ adapter: end, weight: 1 })
  const steps: Travel['path'] = []
  for (const { step, adapter } of path) {
    steps.push({ step, tau: (await effectNorms({ adapter, weight: 1 })).norm / norms.norm })
  }
  return {
    tau: norm / norms.norm,
    distance: norm,
    baseNorm: norms.norm,
    layers: tensors
      .filter(({ name }) => (norms.tensors.get(name) ?? 0) > 0)
      .map(({ name, norm: moved }) => ({ name, tau: moved / (norms.tensors.get(name) as number) })),
    path: steps,
    of,
  }
}

/** tau at the end of the horizon from a short run's path: a power of the steps, between the root and a straight line. */
export function projectTau({ path, tau, of }: Travel): number | undefined {
  const { steps, ofSteps } = of
  if (steps === undefined || ofSteps === undefined || steps < 1) return undefined
  const points = path.filter((point) => point.step > 0 && point.tau > 0)
  const [first, last] = [points[0], points.at(-1)]
  if (first === undefined || last === undefined || first.step === last.step) return steps >= ofSteps ? tau : undefined
  const slope = Math.log(last.tau / first.tau) / Math.log(last.step / first.step)
  return tau * (ofSteps / steps) ** Math.min(1, Math.max(0.5, slope))
}
