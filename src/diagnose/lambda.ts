/** Held-out loss along base + lambda dW*: would another step length of the one round be better? */
import { type Adapter, makeAdapter } from '../adapter/adapter.js'
import type { Dataset, Example } from '../data/dataset.js'
import { LossEvaluator } from '../evaluate/loss.js'
import type { Model } from '../model/open.js'
import type { JobOptions } from '../train/job.js'
import { validationPart } from './best.js'
import { type Probe, total } from './probe.js'
import type { LambdaCurve } from './types.js'

/** The second message of a federation by file has these, so that all clients measure the same. */
export const LAMBDAS = [0, 0.5, 0.75, 1, 1.25, 1.5, 2] as const

/** The adapter with its effect times lambda; times a number a layer where lambda is a map. */
export function scaled(adapter: Adapter, lambda: number | ReadonlyMap<string, number>): Adapter {
  const at = (tensor: string) => (typeof lambda === 'number' ? lambda : (lambda.get(tensor) ?? 1))
  return makeAdapter(
    adapter.layers.map((layer) => ({ ...layer, scale: layer.scale * at(`${layer.name}.weight`) })),
    adapter.dense.map((delta) => ({ ...delta, values: delta.values.map((value) => value * at(delta.name)) })),
    adapter.origin,
  )
}

/** Mean loss a token of examples at base + lambda dW. */
export async function lossAt(
  base: Model,
  adapter: Adapter,
  lambda: number | ReadonlyMap<string, number>,
  examples: readonly Example[],
  o: JobOptions,
): Promise<number> {
  using evaluator = new LossEvaluator(base, scaled(adapter, lambda), examples, o)
  const { sum, tokens } = await evaluator.sum(examples, o.signal)
  return sum / tokens
}

/** The minimum of a parabola through the best point and its neighbours; the best point itself at an edge. */
export function parabolaMinimum(points: readonly { lambda: number; validation: number }[]): number {
  const best = points.reduce((least, point, i) => (point.validation < (points[least]?.validation ?? 0) ? i : least), 0)
  const [a, b, c] = [points[best - 1], points[best], points[best + 1]]
  if (a === undefined || b === undefined || c === undefined) return b?.lambda ?? 1
  const left = (b.validation - a.validation) / (b.lambda - a.lambda)
  const right = (c.validation - b.validation) / (c.lambda - b.lambda)
  const curvature = (right - left) / (c.lambda - a.lambda)
  return curvature > 0 ? (a.lambda + b.lambda - left / curvature) / 2 : b.lambda
}

/** The curve on the validation half of each client's held-out examples; its best point told on the other half. */
export async function measureLambda(
  base: Model,
  adapter: Adapter,
  heldOut: ReadonlyMap<string, Dataset>,
  seed: number,
  o: JobOptions & { perLayer?: Probe | undefined },
): Promise<LambdaCurve> {
  const all = [...heldOut.values()].flatMap((part) => [...part.examples])
  const isValidation = validationPart(
    [...heldOut.values()].map(({ count }) => ({ count })),
    seed,
  )
  const validation = all.filter((_, i) => isValidation[i])
  const test = all.filter((_, i) => !isValidation[i])
  const on = (examples: readonly Example[], lambda: number | ReadonlyMap<string, number>) =>
    lossAt(base, adapter, lambda, examples, o)
  const points: LambdaCurve['points'] = []
  for (const lambda of LAMBDAS) points.push({ lambda, validation: await on(validation, lambda) })
  const lambda = parabolaMinimum(points)
  const curve: LambdaCurve = {
    points,
    best: { lambda, validation: await on(validation, lambda), test: await on(test, lambda) },
    atOne: { test: await on(test, 1) },
  }
  if (o.perLayer) curve.perLayer = await fitPerLayer(o.perLayer, adapter, lambda, validation, test, on)
  return curve
}

const LAYER_STEPS = 4

/**
 * One lambda a tensor, by descent from the best common one. The slope of tensor l is g_l . dW_l; the step is that of a
 * common curvature h, measured once between two common lambdas, and is halved until the validation loss falls.
 */
async function fitPerLayer(
  probe: Probe,
  adapter: Adapter,
  lambda: number,
  validation: readonly Example[],
  test: readonly Example[],
  on: (examples: readonly Example[], lambda: ReadonlyMap<string, number>) => Promise<number>,
): Promise<NonNullable<LambdaCurve['perLayer']>> {
  const slopesAt = async (lambdas: ReadonlyMap<string, number>) => {
    await probe.place()
    await probe.keep()
    await probe.place({ adapter: scaled(adapter, lambdas), scale: 1 })
    await probe.gradient(validation)
    const parts = await probe.compare()
    const slopes = probe.tensors.map((name, i) => (parts[i]?.slope ?? 0) / (lambdas.get(name) ?? 1))
    return { slopes, whole: total(parts).slope }
  }
  const common = (value: number) => new Map(probe.tensors.map((name) => [name, value]))
  const start = Math.max(lambda, 0.1)
  const [here, there] = [await slopesAt(common(start)), await slopesAt(common(1.2 * start))]
  const curvatures = here.slopes.map((slope, i) => ((there.slopes[i] ?? 0) - slope) / (0.2 * start))
  // Tensors whose own curvature is noise take the mean of all.
  const usual = Math.max(1e-12, curvatures.reduce((sum, value) => sum + Math.max(0, value), 0) / curvatures.length)
  let lambdas = common(start)
  let loss = await on(validation, lambdas)
  let slopes = here.slopes
  let rate = 0.5
  let steps = 0
  while (steps < LAYER_STEPS && rate > 0.05) {
    const next = new Map(
      probe.tensors.map((name, i) => {
        const step = (rate * (slopes[i] ?? 0)) / Math.max(usual, curvatures[i] ?? 0)
        return [name, Math.min(3, Math.max(0.05, (lambdas.get(name) ?? 1) - step))]
      }),
    )
    const tried = await on(validation, next)
    if (tried >= loss) {
      rate /= 2
      continue
    }
    lambdas = next
    loss = tried
    steps++
    if (steps < LAYER_STEPS) slopes = (await slopesAt(lambdas)).slopes
  }
  return {
    lambdas: [...lambdas].map(([name, value]) => ({ name, lambda: value })),
    validation: loss,
    test: await on(test, lambdas),
    steps,
  }
}
