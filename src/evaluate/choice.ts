/** Multiple choice: the choice that a model finds most likely after the question. */
import type { Example } from '../data/dataset.js'
import { Slices } from '../data/slices.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { Clock } from '../train/job.js'
import { type LossSum, type Score, scoreOf } from '../train/score.js'
import { BLANK, continuation } from './continuation.js'
import { type EvaluateOptions, LossEvaluator } from './loss.js'
import { meanError, shareError } from './standard-error.js'

export interface ChoiceQuestion {
  /** without the blank that parts it from a choice */
  prompt: string
  /** at least two */
  choices: readonly string[]
  /** place of the right one */
  answer: number
}

/** What a model makes of one question. */
interface Choice {
  /** of each choice's text after the prompt, nats */
  loglikelihoods: readonly number[]
  /** tokens of each choice */
  tokens: readonly number[]
  /** the most likely choice */
  picked: number
  /** the most likely choice a character */
  pickedNormalized: number
}

/**
 * The log-likelihood of every choice of every question.
 * @throws OneroundError ARGUMENT, MISMATCH (an adapter of another base), MEMORY, NUMERIC, ABORTED
 */
export async function choose(
  base: Model,
  questions: readonly ChoiceQuestion[],
  o: EvaluateOptions = {},
): Promise<Choice[]> {
  const examples: Example[] = []
  const slices = new Slices(o.signal)
  for (const [id, question] of questions.entries()) {
    checkQuestion(question, id)
    for (const choice of question.choices) {
      if (slices.due()) await slices.turn()
      examples.push(continuation(base, question.prompt, BLANK + choice, id))
    }
  }
  if (examples.length === 0) throw noQuestions()
  using evaluator = new LossEvaluator(base, o.adapter, examples, o)
  const total = examples.reduce((sum, { ids }) => sum + ids.length, 0)
  const clock = new Clock()
  const tell = (done: number) =>
    o.onProgress?.({ phase: 'choice', done, total, secondsLeft: clock.secondsLeft(done, total) })
  const sums: LossSum[] = []
  await evaluator.sum(examples, o.signal, tell, (_, sum, tokens) => sums.push({ sum, tokens }))
  let first = 0
  return questions.map(({ choices }) => {
    const own = sums.slice(first, first + choices.length)
    first += choices.length
    const loglikelihoods = own.map(({ sum }) => -sum)
    return {
      loglikelihoods,
      tokens: own.map(({ tokens }) => tokens),
      picked: largest(loglikelihoods),
      pickedNormalized: largest(loglikelihoods.map((value, i) => value / characters(choices[i] ?? ''))),
    }
  })
}

/** Accuracy of a base, or of a base with an adapter; `loss` is over the tokens of the right choices. */
export async function evaluateChoice(
  base: Model,
  questions: readonly ChoiceQuestion[],
  o: EvaluateOptions = {},
): Promise<Score> {
  return scoreChoices(questions, await choose(base, questions, o))
}

export function scoreChoices(questions: readonly ChoiceQuestion[], made: readonly Choice[]): Score {
  const n = questions.length
  const share = (key: 'picked' | 'pickedNormalized') =>
    made.filter((one, i) => one[key] === questions[i]?.answer).length
  const right = share('picked')
  const rightNormalized = share('pickedNormalized')
  const each = made.map(({ loglikelihoods, tokens }, i): LossSum => {
    const answer = questions[i]?.answer ?? -1
    return { sum: -(loglikelihoods[answer] ?? Number.NaN), tokens: tokens[answer] ?? 0 }
  })
  const whole = each.reduce((total, one) => ({ sum: total.sum + one.sum, tokens: total.tokens + one.tokens }))
  const score: Score = { ...scoreOf(whole), accuracy: right / n, accuracyNormalized: rightNormalized / n, questions: n }
  const loss = meanError(each)
  const accuracy = shareError(right, n)
  const accuracyNormalized = shareError(rightNormalized, n)
  if (loss === undefined || accuracy === undefined || accuracyNormalized === undefined) return score
  return { ...score, standardError: { loss, perplexity: score.perplexity * loss, accuracy, accuracyNormalized } }
}

/** Of equal values the first, as Python's max() takes it. */
function largest(values: readonly number[]): number {
  return values.reduce((best, value, i) => (value > (values[best] as number) ? i : best), 0)
}

/** Unicode code points, as Python's len() counts them. */
function characters(text: string): number {
  return [...text].length
}

function checkQuestion({ choices, answer }: ChoiceQuestion, id: number): void {
  if (
    choices.length >= 2 &&
    choices.every((choice) => choice !== '') &&
    Number.isInteger(answer) &&
    choices[answer] !== undefined
  )
    return
  throw new OneroundError('ARGUMENT', `Question ${id + 1} is not a multiple choice.`, {
    found: `${choices.length} choices, answer ${answer}`,
    expected: 'at least two choices, none empty, and the place of the right one from 0',
    fix: 'Correct the question, or leave it out.',
  })
}

export function noQuestions(): OneroundError {
  return new OneroundError('ARGUMENT', 'There is nothing to judge.', {
    found: 'no question',
    expected: 'at least one',
    fix: 'Give more data, or a larger limit.',
  })
}
