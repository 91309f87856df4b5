import { describe, expect, it } from 'vitest'
import { allSources, unusedExports } from './exports.js'

/** Names of rooms that are being worked in; each loses its export, or gets a user, when its room is next touched. */
const open: Readonly<Record<string, readonly string[]>> = {
  'src/aggregate/aggregator.ts': ['RemoveOptions'],
  'src/aggregate/coordinates.ts': ['coordinateParts'],
  'src/aggregate/factor-mean.ts': ['MeanFactors', 'mean'],
  'src/aggregate/factorize.ts': ['sumNorm'],
  'src/aggregate/learn-layer-weights.ts': ['LearnOptions'],
  'src/aggregate/methods.ts': ['FactorMethod'],
  'src/aggregate/ranks.ts': ['autoTolerance', 'autoRankFactor'],
  'src/aggregate/regmean.ts': ['regmeanShrinkage'],
  'src/diagnose/best.ts': ['HeldOut'],
  'src/diagnose/calibrate/calibrate.ts': ['CalibrateOptions'],
  'src/diagnose/calibrate/federation.ts': ['dataOf'],
  'src/diagnose/calibrate/judge-rule.ts': ['RULE_FEATURES', 'Usable', 'usable'],
  'src/diagnose/client-evidence.ts': ['BUDGET_SHARE', 'ClientEvidence'],
  'src/diagnose/comparison.ts': ['PairedDifference'],
  'src/diagnose/cost.ts': ['CostInput'],
  'src/diagnose/effect.ts': ['Weighted', 'squaredNorm', 'EffectNorms'],
  'src/diagnose/paired-runs.ts': ['RunItems'],
  'src/diagnose/probe.ts': ['Point'],
  'src/diagnose/simulation-evidence.ts': ['SimulationEvidence'],
  'src/diagnose/smoothness.ts': ['Measured', 'Course'],
  'src/diagnose/statistics.ts': ['quantile'],
  'src/diagnose/travel.ts': ['BaseNorms'],
  'src/diagnose/truth.ts': ['MARGIN_SHARE'],
  'src/diagnose/types.ts': ['Candidate'],
  'src/diagnose/updates-evidence.ts': ['UpdatesEvidence'],
  'src/federation/arm-runner.ts': ['ArmRunnerOptions'],
  'src/federation/asynchronous.ts': ['ArrivalRecord'],
  'src/federation/federated.ts': ['FederatedOptions', 'isAsynchronous'],
  'src/federation/judge.ts': ['Judgement'],
  'src/federation/participation.ts': ['Participation', 'MOST_ATTEMPTS'],
  'src/federation/pooled.ts': ['Pooled'],
  'src/federation/server.ts': ['CloseOptions'],
  'src/federation/strategies/adaptive.ts': ['AdaptiveRule', 'SecondMoment', 'adaptiveEntries'],
  'src/federation/strategies/strategy.ts': ['ServerRound'],
  'src/train/compute.ts': ['Compute'],
  'src/train/full.ts': ['FullOptions', 'FullResult'],
  'src/train/local.ts': ['LocalJob'],
  'src/train/memory.ts': ['formatBytes'],
  'src/train/schedule.ts': ['warmupSteps'],
  'src/train/score.ts': ['StandardErrors', 'ScoreOptions'],
  'src/train/slots.ts': ['parameterCount'],
  'src/valuation/findings.ts': ['SAME_DIRECTION'],
  'src/valuation/kept.ts': ['Game'],
  'src/valuation/learn.ts': ['LossChange'],
  'src/valuation/orders.ts': ['Sampled'],
}

describe('an export of src/', () => {
  it('has a user outside its file', () => {
    const sources = allSources()
    expect(sources.length).toBeGreaterThan(300)
    const known = Object.entries(open).flatMap(([file, names]) => names.map((name) => `${file}: ${name}`))
    expect(unusedExports(sources).filter((name) => !known.includes(name))).toEqual([])
  })
})

describe('this check', () => {
  const user = (text: string) => ({ file: 'test/unit/a.test.ts', text })
  const source = {
    file: 'src/room/a.ts',
    text: 'export const one = 1, { two, at: [three] } = f()\nexport interface Four {}\nexport function five() {}\nconst six = 6\nexport { six }\nexport type { Seven } from "./b.js"',
  }

  it('sees values, types and functions that nobody takes', () => {
    const names = ['one', 'two', 'three', 'Four', 'five', 'six'].map((name) => `src/room/a.ts: ${name}`)
    expect(unusedExports([source])).toEqual(names)
  })

  it('sees who takes a name under another one, passes it on, or takes it from dist/', () => {
    const takes = [
      user("import { one as other, type Four } from '../../src/room/a.js'"),
      { file: 'src/index.ts', text: "export { five } from './room/a.js'" },
      { file: 'benchmarks/a.mjs', text: "import { two, three } from '../dist/room/a.js'" },
    ]
    expect(unusedExports([source, ...takes])).toEqual(['src/room/a.ts: six'])
  })

  it('lets all names go that are taken together', () => {
    expect(unusedExports([source, user("import * as all from '../../src/room/a.js'")])).toEqual([])
    expect(unusedExports([source, user("const { one } = await import('../../src/room/a.js')")])).toEqual([])
  })
})
