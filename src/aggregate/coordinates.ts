/** Methods that look at each element of the updates apart: dense rows a few at a time, then the best factors. */
import { createHash } from 'node:crypto'
import { OneroundError } from '../errors.js'
import type { CoordinateOptions, CoordinatePart } from '../native/binding/coordinates.js'
import { native } from '../native/load.js'
import { denseSum, errorOf } from './factorize.js'
import { type LayerMethod, type LayerSum, type MethodOptions, overlayPairs } from './method.js'
import { rankLimits } from './ranks.js'
import { matrixLayer } from './svd.js'

/**
 * `factor` times the rule's matrix plus the overlay, as its best factors by the rank rule. The error is that of the
 * factors against the exact weighted sum. Clients of weight 0 take no part.
 */
export async function coordinateLayer(
  sum: LayerSum,
  rule: Partial<CoordinateOptions> & Pick<CoordinateOptions, 'rule'>,
  options: MethodOptions,
  factor = 1,
): ReturnType<LayerMethod> {
  const merged = await native().coordinateWise(sum.in, sum.out, coordinateParts(sum), { ...neutral, ...rule })
  const values =
    factor === 1 && sum.overlay.length === 0 ? merged : (await denseSum(sum, overlayPairs(sum), merged, factor)).values
  const { most, tolerance } = rankLimits(sum, options.rank)
  const { layer } = await matrixLayer(sum, values, most, tolerance)
  const error = await errorOf(sum, layer.rank === 0 ? [] : [{ rank: layer.rank, a: layer.a, b: layer.b, weight: 1 }])
  return { layer, ...error }
}

export const neutral: Omit<CoordinateOptions, 'rule'> = { trimmed: 0, density: 1, drop: 0, seed: 0 }

function coordinateParts(sum: LayerSum): CoordinatePart[] {
  return sum.parts
    .filter((part) => part.weight !== 0)
    .map(({ client, weight, rank, scale, a, b }) => ({
      rank,
      a,
      b,
      weight: scale,
      share: weight,
      stream: streamOf(client, sum.name),
    }))
}

/** A number from 0 to below 1, or above 0 where `open`. */
export function fraction(name: string, value: number, least: 'zero' | 'above zero', below: number): number {
  if (Number.isFinite(value) && value >= 0 && value < below && (least === 'zero' || value > 0)) return value
  throw new OneroundError('ARGUMENT', `The option '${name}' is not usable.`, {
    found: String(value),
    expected: `${least === 'zero' ? 'at least 0' : 'above 0'}, below ${below}`,
    fix: `Correct ${name}.`,
  })
}

/** The same whatever else is aggregated, so that a client's draws do not depend on the others. */
function streamOf(client: string, layer: string): number {
  return createHash('sha256').update(`${client}\0${layer}`).digest().readUInt32LE(0)
}
