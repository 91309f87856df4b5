// What the paper (arXiv 2412.04650) says, beside what the studies measured. A claim whose study has not run is unknown.
import { shapeOf } from '../dist/federation/arms.js'
import { verdictOf } from './contrasts.mjs'
import { mean, nameOf, percent, remedyOf } from './tables.mjs'

/** One round against E rounds of one epoch. */
const rival = (cell) => cell.contrasts.find(({ arm }) => arm === several(cell))
const pooled = (cell) => cell.contrasts.find(({ arm }) => arm === 'pooled')
const oneRound = ({ settings }) => `1x${settings.horizon}`
const several = ({ settings }) => `${settings.horizon}x1`
const decided = (cells) => cells.filter((cell) => verdictOf(cell) && verdictOf(cell) !== 'not-enough-evidence')
const isPretrained = ({ settings }) => settings.base !== 'random twin'
const shares = (cells) => cells.map(rival).filter(Boolean)
const range = (values, digits = 1) =>
  `${percent(Math.min(...values), digits)} to ${percent(Math.max(...values), digits)}`

/** @param studies results by name @returns rows of claim, measurement, holds */
export function claimRows(studies) {
  return CLAIMS.flatMap(({ claim, needs, told }) =>
    needs.every((name) => studies[name])
      ? [[claim, ...told(...needs.map((name) => studies[name].cells))]]
      : [[claim, 'not run', '–']],
  )
}

const CLAIMS = [
  {
    claim: 'One round matches as many rounds as epochs, for pretrained models',
    needs: ['skew', 'pretrained', 'pooling'],
    told(...groups) {
      const cells = groups.flat().filter((cell) => isPretrained(cell) && rival(cell))
      const count = (kind) => cells.filter((cell) => verdictOf(cell) === kind).length
      const needed = count('several-rounds-needed')
      const within = shares(cells).filter(({ share }) => share < 0.02).length
      return [
        `${cells.length} cells on the embedded base: suffices in ${count('one-round-suffices')}, costs in ${count('one-round-costs')}, several needed in ${needed}, undecided in ${cells.length - decided(cells).length}; the difference itself lies below 2 % of the gain in ${within}`,
        needed === 0
          ? 'holds'
          : needed > cells.length / 2
            ? 'does not hold'
            : 'holds when steps are small or epochs few; see the cells',
      ]
    },
  },
  {
    claim: 'It still does where each side takes its own best step',
    needs: ['pooling'],
    told(pooling) {
      const cells = pooling.filter(({ settings }) => settings.split === 'natural')
      const share = bestOf(cells, oneRound, several)
      return [
        `each at the best of ${cells.length} settings tried, one round has ${percent(share)} of what several rounds gain`,
        share > 0.98 ? 'holds' : `does not hold: ${percent(1 - share)} of the gain is lost`,
      ]
    },
  },
  {
    claim: 'It holds on a larger pretrained model (SmolLM2-135M)',
    needs: ['smollm2-gsm8k', 'smollm2-mixture'],
    told(...groups) {
      const cells = groups.flat()
      const fewest = Math.min(...cells.map((cell) => cell.seeds.length))
      const isSure = cells.every((cell) => rival(cell).interval.high < 0.02 * rival(cell).gain)
      return [
        cells
          .map(
            (cell) => `${cell.settings.source}, step ${cell.settings.learningRate}: ${percent(rival(cell).share, 1)}`,
          )
          .join('; '),
        isSure ? (fewest < 3 ? `holds, of ${fewest} seed${fewest === 1 ? '' : 's'}` : 'holds') : 'holds for some',
      ]
    },
  },
  {
    claim: 'Whatever the several rounds do, one round matches them',
    needs: ['rivals'],
    told(cells) {
      const all = cells.flatMap((cell) =>
        cell.contrasts.filter(({ arm }) => shapeOf(arm)).map((row) => ({ cell, ...row })),
      )
      const better = all.filter(({ interval, gain }) => interval.low > 0.02 * gain)
      return [
        `${all.length} comparisons with FedAvg, FedProx, SCAFFOLD, FedAdam, DiLoCo, fresh starts and kept optimizers; ${better.length === 0 ? 'none is surely better' : `surely better: ${better.map(({ cell, arm, share }) => `${arm} (${nameOf(cell)}: ${percent(share)} of its gain)`).join(', ')}`}`,
        better.length === 0 ? 'not refuted' : 'does not hold for all',
      ]
    },
  },
  {
    claim: 'It is pretraining that makes it so: from scratch, one round loses more',
    needs: ['pretrained'],
    told(cells) {
      const of = (base) => cells.filter(({ settings }) => settings.base === base)
      const pairs = of('embedded').map((cell) => [
        rival(cell),
        rival(of('random twin').find(({ settings }) => settings.learningRate === cell.settings.learningRate)),
      ])
      const smaller = pairs.filter(([own, twin]) => own.interval.high / own.gain < twin.interval.low / twin.gain).length
      const larger = pairs.filter(([own, twin]) => own.interval.low / own.gain > twin.interval.high / twin.gain).length
      return [
        pairs
          .map(
            ([own, twin], i) =>
              `step ${of('embedded')[i].settings.learningRate}: ${percent(own.share, 1)} of the gain pretrained, ${percent(twin.share, 1)} from scratch`,
          )
          .join('; '),
        smaller === pairs.length
          ? 'holds'
          : larger === pairs.length
            ? 'does not hold'
            : smaller > 0
              ? 'holds at some steps'
              : 'not decided',
      ]
    },
  },
  {
    claim: 'Fine-tuning of pretrained weights travels less (tau) on a smoother loss (L)',
    needs: ['pretrained'],
    told(cells) {
      const of = (base, field) => {
        const values = cells
          .filter(({ settings }) => settings.base === base)
          .flatMap(({ reasons }) => reasons.map((row) => row[field]))
          .filter((value) => value !== undefined)
        return mean(values)
      }
      const [tau, tauTwin] = [of('embedded', 'tau'), of('random twin', 'tau')]
      const [L, LTwin] = [of('embedded', 'L'), of('random twin', 'L')]
      return [
        `tau ${tau.toFixed(4)} against ${tauTwin.toFixed(4)}, L ${L.toFixed(2)} against ${LTwin.toFixed(2)}`,
        tau < tauTwin && L < LTwin
          ? 'holds'
          : tau < tauTwin
            ? 'holds for tau, not for L'
            : L < LTwin
              ? 'holds for L, not for tau'
              : 'does not hold',
      ]
    },
  },
  {
    claim: 'The gap is bounded by L tau T k m ||w0||',
    needs: ['pretrained', 'pooling', 'skew'],
    told(...groups) {
      const rows = groups
        .flat()
        .flatMap(({ reasons }) => reasons)
        .filter(({ epsilon, published }) => epsilon && published)
      const ratios = rows.map(({ epsilon, published }) => published / epsilon)
      const own = rows.map(({ epsilon, rederived }) => rederived / epsilon)
      return [
        `the published bound is ${Math.min(...ratios).toFixed(0)} to ${Math.max(...ratios).toFixed(0)} times the measured gap; the re-derived one ${Math.min(...own).toFixed(2)} to ${Math.max(...own).toFixed(2)} times (both are about SGD, AdamW trains here)`,
        ratios.every((ratio) => ratio >= 1) ? 'holds, and says little' : 'does not hold',
      ]
    },
  },
  {
    claim: 'More clients do not change it',
    needs: ['size'],
    told(cells) {
      const varied = cells.filter(({ settings: { varied } }) => varied.clients !== undefined)
      return [
        varied.map((cell) => `${nameOf(cell)}: ${percent(rival(cell).share, 1)}`).join('; '),
        varied.some((cell) => verdictOf(cell) === 'several-rounds-needed') ? 'does not hold' : 'not refuted',
      ]
    },
  },
  {
    claim: 'Few local epochs suffice; with more, one round loses more',
    needs: ['size'],
    told(cells) {
      const varied = cells.filter(({ settings: { varied } }) => varied.horizon !== undefined)
      const values = varied.map((cell) => rival(cell).share)
      return [
        varied.map((cell) => `${cell.settings.horizon} epochs: ${percent(rival(cell).share, 1)}`).join('; '),
        values.at(-1) > values[0] ? 'holds' : 'does not hold',
      ]
    },
  },
  {
    claim: 'Unlike clients do not change it',
    needs: ['skew'],
    told(cells) {
      const compared = cells.filter(rival)
      return [
        `share of the gain that one round loses: ${range(shares(compared).map(({ share }) => share))}`,
        compared.some((cell) => verdictOf(cell) === 'several-rounds-needed') ? 'does not hold for all' : 'not refuted',
      ]
    },
  },
  {
    claim: 'One round comes close to training on pooled data',
    needs: ['pooling', 'pretrained'],
    told(pooling, pretrained) {
      const cells = [...pooling, ...pretrained].filter((cell) => isPretrained(cell) && pooled(cell))
      const behind = cells.filter((cell) => pooled(cell).difference > 0)
      const values = behind.map((cell) => pooled(cell).share)
      const natural = pooling.filter(({ settings }) => settings.split === 'natural')
      const best = bestOf(natural, oneRound, () => 'pooled')
      return [
        `at equal settings it misses ${range(values, 0)} of what pooling gains in ${behind.length} of ${cells.length}, and in the others pooling does worse on held-out text; each at the best of the settings tried, one round has ${percent(best)} of pooling's gain`,
        best > 0.9 ? 'holds, each at its own best step' : `does not hold: ${percent(best)}`,
      ]
    },
  },
  {
    claim: 'A model object that clients share (as in some public code) does not matter',
    needs: ['leak'],
    told(cells) {
      const rows = cells.map((cell) => [cell, cell.contrasts.find(({ arm }) => arm.endsWith('shared-object-leak'))])
      const flatters = rows.every(([, { interval }]) => interval.low > 0)
      return [
        rows
          .map(
            ([cell, { difference, share }]) =>
              `${nameOf(cell)}: the leak shows ${difference.toFixed(3)} nats less, ${percent(share)} of its own gain`,
          )
          .join('; '),
        flatters ? 'does not hold: it flatters one round' : 'not decided',
      ]
    },
  },
  {
    claim: 'A one-round remedy recovers what averaging loses',
    needs: ['pooling', 'rivals', 'smollm2-remedies'],
    told(...groups) {
      const cells = groups.flat().filter(({ asked }) => asked.remedies?.length > 0)
      const names = ['lambda', 'lambda by tensor', 'learned weights', 'Fisher', 'TIES', 'KnOTS', 'median']
      const recovered = cells.filter((cell) => pooled(cell)?.difference > 0).map(bestRemedy)
      const helped = names.map((name) => {
        const values = cells
          .map((cell) => {
            const seeds = cell.asked.remedies.filter(({ losses }) => losses[name])
            return seeds.length === 0 ? undefined : remedyOf(seeds, name)
          })
          .filter(Boolean)
        return {
          name,
          sure: values.filter(({ interval }) => interval.high < 0).length,
          of: values.length,
          mean: mean(values.map(({ difference }) => difference)),
        }
      })
      return [
        helped
          .filter((row) => row.of > 0)
          .map((row) => `${row.name}: ${row.mean.toFixed(4)} on average, surely better in ${row.sure} of ${row.of}`)
          .concat(`of what the mean misses of pooling, the best recovers ${recovered.join(', ')}`)
          .join('; '),
        helped.some((row) => row.sure > row.of / 2) ? 'holds for some' : 'holds rarely',
      ]
    },
  },
]

/** The remedy that lowers the loss most, as a share of what pooling lowers it below the mean. */
function bestRemedy(cell) {
  const { remedies } = cell.asked
  const rows = Object.keys(remedies[0].losses)
    .filter((name) => name !== 'mean' && remedies.every(({ losses }) => losses[name]))
    .map((name) => ({ name, difference: remedyOf(remedies, name).difference }))
  const best = rows.reduce((least, row) => (row.difference < least.difference ? row : least))
  const of = cell.settings.base === 'smollm2' ? 'SmolLM2' : nameOf(cell)
  return `${percent(-best.difference / pooled(cell).difference)} (${of}: ${best.name})`
}

/** What the best cell of one arm gains over base, as a share of what the best cell of another does; means over seeds. */
function bestOf(cells, armOf, otherOf) {
  const gain = (cell, arm) => {
    const { base, [arm]: own } = cell.losses
    return own === undefined ? Number.NEGATIVE_INFINITY : mean(base.perSeed) - mean(own.perSeed)
  }
  const most = (of) => Math.max(...cells.map((cell) => gain(cell, of(cell))))
  return most(armOf) / most(otherOf)
}
