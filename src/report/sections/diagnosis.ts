import { type Diagnosis, isKnown } from '../../diagnose/types.js'
import { boundsFigure } from '../figures/bounds.js'
import { clientMapFigure } from '../figures/client-map.js'
import { comparisonFigure } from '../figures/comparison.js'
import { costFigure } from '../figures/cost.js'
import { layersFigure } from '../figures/layers.js'
import { gapFigure, lambdaFigure, travelFigure } from '../figures/lines.js'
import { smoothnessFigure } from '../figures/smoothness.js'
import { definitions, type Figure, figure, section } from '../html.js'
import { formatLoss } from '../numbers.js'

/** What was measured, and by name what this kind of evidence cannot know. */
export function diagnosisSection(of: Diagnosis): string {
  const { comparison, travel, smoothness, gap, bounds, lambda, similarity, cost } = of
  const figures: (Figure | undefined)[] = [
    isKnown(comparison) ? comparisonFigure(comparison) : undefined,
    isKnown(lambda) ? lambdaFigure(lambda) : undefined,
    isKnown(lambda) && lambda.perLayer !== undefined
      ? layersFigure(
          'Lambda by layer',
          'lambda',
          `A scale of the aggregate for each layer, fitted on the validation part; on the test part the loss is ${formatLoss(lambda.perLayer.test)}.`,
          lambda.perLayer.lambdas.map(({ name, lambda: value }) => ({ name, value })),
        )
      : undefined,
    isKnown(gap) ? gapFigure(gap) : undefined,
    isKnown(bounds) ? boundsFigure(bounds, gap) : undefined,
    isKnown(smoothness) ? smoothnessFigure(smoothness) : undefined,
    isKnown(travel) ? travelFigure(travel) : undefined,
    isKnown(travel)
      ? layersFigure(
          'Travel tau by layer',
          'tau',
          `||w − w0|| / ||w0|| of each layer, of ${travel.of.what}; ${travel.tau.toPrecision(3)} over the whole.`,
          travel.layers.map(({ name, tau }) => ({ name, value: tau })),
        )
      : undefined,
    isKnown(smoothness)
      ? layersFigure(
          'Smoothness L by layer',
          'L',
          'Between start and end of training, the mean over the draws.',
          smoothness.layers.map(({ name, mean }) => ({ name, value: mean })),
        )
      : undefined,
    isKnown(similarity) ? clientMapFigure(similarity) : undefined,
  ]
  const time = isKnown(cost) ? costFigure(cost) : undefined
  const drawn = figures.filter((one) => one !== undefined).map(figure)
  return section('Why', [
    drawn.length > 0 ? `<div class="pairs">${drawn.join('')}</div>` : '',
    time === undefined ? '' : section('Cost', [figure(time)], 3),
    section('Numbers', [definitions(numbersOf(of))], 3),
    section('Unknown to this evidence', [definitions(unknownOf(of))], 3),
  ])
}

function numbersOf({ curvature, noise, disagreement, similarity, best, spent }: Diagnosis): [string, string][] {
  const rows: [string, string][] = []
  const put = (name: string, value: number | undefined) => {
    if (value !== undefined && Number.isFinite(value)) rows.push([name, value.toPrecision(3)])
  }
  if (isKnown(curvature)) {
    put('curvature along the path', curvature.alongPath.mean)
    put('strongest curvature at the base', curvature.strongest?.value)
    put('turn of the gradient', curvature.turn.mean)
    put('cosine of the gradient before and after', curvature.alignment.mean)
  }
  if (isKnown(noise)) put('gradient noise of a batch', noise.relativeVariance)
  if (isKnown(disagreement)) put('gradient disagreement of clients', disagreement.value)
  if (isKnown(similarity)) {
    put('mean cosine of updates', similarity.meanCosine)
    put('retention of the mean', similarity.retention)
    put('effective rank of the sum', similarity.effectiveRank)
    put('relative error of svd', similarity.errors.svd)
    put('relative error of fedit', similarity.errors.fedit)
  }
  if (isKnown(best)) {
    const { one, several, difference, interval } = best
    const told = [difference, interval.low, interval.high].map((value) => value.toPrecision(3))
    rows.push([
      `best ${one.arm} (learning rate ${one.learningRate}) minus best ${several.arm} (${several.learningRate}), test part`,
      `${told[0]} nats a token, 95 % interval ${told[1]} to ${told[2]}`,
    ])
  }
  put('cost of this diagnosis, share of training', spent.share)
  if (spent.unsettled.length > 0) rows.push(['not settled', spent.unsettled.join('; ')])
  return rows
}

function unknownOf(of: Diagnosis): [string, string][] {
  const names = [
    'travel',
    'smoothness',
    'curvature',
    'noise',
    'disagreement',
    'similarity',
    'gap',
    'bounds',
    'lambda',
    'cost',
    'comparison',
    'best',
  ] as const
  return names.flatMap((name): [string, string][] => {
    const value = of[name]
    return 'unknown' in value ? [[name, value.unknown]] : []
  })
}
