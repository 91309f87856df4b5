import { expect, test } from 'vitest'
import { blank } from '../../../src/diagnose/blank.js'
import { notEnough } from '../../../src/diagnose/verdict.js'
import { storyOf } from '../../../src/report/story.js'
import { someDiagnosis } from './diagnosis.js'
import { somePlan } from './plan.js'
import { someValuation } from './valuation.js'

test('a diagnosis of nothing is told with its reasons', () => {
  const text = storyOf(blank('updates', somePlan(['north', 'south'])))
  expect(text).toMatch(/^Not enough evidence: nothing was measured/)
  expect(text).toMatch(/smoothness L +unknown: the host holds no data/)
  expect(text.split('\n').length).toBeLessThan(40)
})

test('everything known still fits in 40 lines, the verdict first', () => {
  const long = 'x '.repeat(200)
  const d = blank('simulation', somePlan(['north', 'south']))
  d.verdict = { ...notEnough(...Array(5).fill({ reason: long, enough: long })), sentence: 'The verdict.' }
  d.notes = Array(10).fill(long)
  d.cost = {
    links: { upMbit: 1, downMbit: 1, spread: 0 },
    rows: [{ what: '1x3', rounds: 1, bytesUp: 1e6, bytesDown: 2e6, computeSeconds: 1, linkSeconds: 2, waitSeconds: 3 }],
    secondsEach: 1,
    measured: 'here',
  }
  d.spent = { rows: 5, trainingRows: 100, share: 0.05, limit: 0.05, unsettled: ['L'] }
  const lines = storyOf(d).split('\n')
  expect(lines[0]).toBe('The verdict.')
  expect(lines.length).toBeLessThan(40)
})

test('values of the clients are one line, and findings one: the best and the worst with their intervals', () => {
  const clients = ['north', 'south', 'east']
  const valued = { arm: '1x3', valuation: someValuation(somePlan(clients), clients) }
  const text = storyOf(someDiagnosis(clients), valued)
  expect(text).toContain('north 6.00 (5.00 to 7.00) to east -2.00 (-3.00 to -1.00) of 6.00 thousandths of a nat')
  expect(text).toContain('(Shapley, 1x3)')
  expect(text).toMatch(/^clients to look at +harms: east$/m)
  expect(text.split('\n').length).toBeLessThan(39)
  expect(storyOf(someDiagnosis(clients))).not.toContain('Shapley')
})

test('a forged diagnosis sends no control characters to the terminal', () => {
  const d = someDiagnosis(['north', 'south'])
  d.verdict.sentence = 'a\u001b[2Jb'
  expect(storyOf(d)).toContain('a\\u{1b}[2Jb')
})
