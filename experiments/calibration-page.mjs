// docs/calibration.md from src/diagnose/calibration.json: how good the shipped rules are.
import { readCalibration } from '../dist/diagnose/rule.js'
import { percent, table } from './tables.mjs'

const share = (value) => (value === null ? '–' : percent(value))

export function calibrationPage() {
  const { rules, provenance } = readCalibration()
  const rows = rules.map(({ evidence, features, evaluation: e }) => [
    evidence,
    features.map(({ name, weight }) => `${name} ${weight < 0 ? '−' : '+'}${Math.abs(weight).toFixed(2)}`).join(', '),
    `${e.spoke} of ${e.decided}`,
    share(e.precision),
    share(e.recall),
    e.brier.toFixed(3),
    `${share(e.alwaysSuffices.precision)}, ${e.alwaysSuffices.brier.toFixed(3)}`,
    `${share(e.tauOnly.precision)}, ${e.tauOnly.brier.toFixed(3)}`,
  ])
  const curve = rules.flatMap(({ evidence, evaluation }) =>
    evaluation.curve.map(({ from, to, count, predicted, observed }) => [
      evidence,
      `${percent(from)} to ${percent(to)}`,
      String(count),
      percent(predicted),
      percent(observed),
    ]),
  )
  return [
    '# How good the rules before training are',
    '',
    'Made by `npm run results` from the rules that `oneround diagnose` reads; they are made by `npm run calibrate`',
    `(${provenance.federations} federations of seed ${provenance.seed}, commit ${provenance.commit}). Every second federation fits, the others are`,
    'untouched until the end, and everything below is told on those. A rule takes at most three features, chosen by',
    'leave-one-out on the half that fits, and speaks from the probability on at which it was right nine times in ten there.',
    '',
    table(
      [
        'evidence',
        'reads (standardised weight)',
        'spoke, of decided truths',
        'precision',
        'recall',
        'Brier',
        'always suffices: precision, Brier',
        'tau alone: precision, Brier',
      ],
      rows,
    ),
    '',
    rules.map(sentence).join(' '),
    '',
    '## Calibration curve',
    '',
    'Where the rule says so much, how often one round was within the margin.',
    '',
    table(['evidence', 'says', 'federations', 'mean said', 'was so'], curve),
    '',
    '## The space',
    '',
    table(
      ['', 'values'],
      Object.entries(provenance.space).map(([name, values]) => [name, [values].flat().join(', ')]),
    ),
  ].join('\n')
}

/** Whether a rule is worth having, in words; its numbers decide. */
function sentence({ evidence, suffices, needed, evaluation: e }) {
  if (e.spoke === 0) return `\`${evidence}\` never speaks: no threshold was precise enough.`
  const sides = [suffices === null ? '' : 'that one round suffices', needed === null ? '' : 'that several are needed']
  const beats = e.precision > (e.alwaysSuffices.precision ?? 0) && e.precision > (e.tauOnly.precision ?? 0)
  const better = e.brier < e.alwaysSuffices.brier && e.brier < e.tauOnly.brier
  return `\`${evidence}\` says ${sides.filter(Boolean).join(', or ')}; it ${beats && better ? 'beats' : 'does not beat'} saying always that one round suffices, and tau alone.`
}
