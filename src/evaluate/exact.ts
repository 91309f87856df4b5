/** Exact match: whether the most likely text after a question ends in the right answer. */
import type { Example } from '../data/dataset.js'
import { Slices } from '../data/slices.js'
import type { Model } from '../model/open.js'
import { Clock } from '../train/job.js'
import { type LossSum, type Score, scoreOf } from '../train/score.js'
import { noQuestions } from './choice.js'
import { BLANK, continuation } from './continuation.js'
import { promptTokens } from './generate.js'
import { Generator } from './generator.js'
import { type EvaluateOptions, LossEvaluator } from './loss.js'
import { meanError, shareError } from './standard-error.js'

export interface ExactQuestion {
  /** without the blank before the answer */
  prompt: string
  /** what `extract` should find */
  answer: string
  /** a text that leads to the answer, for the loss; default: the answer itself */
  solution?: string | undefined
}

export interface ExactOptions extends EvaluateOptions {
  /** most tokens of an answer; default 256 */
  maxTokens?: number | undefined
  /** an answer ends before the first of these; default: a line end */
  stop?: readonly string[] | undefined
  /** the answer in a generated text, or undefined where there is none; default: the text without blanks around it */
  extract?: ((text: string) => string | undefined) | undefined
}

interface Answer {
  /** all that was generated */
  text: string
  /** undefined where no answer was found in it */
  found: string | undefined
  right: boolean
}

/**
 * The model's own answer to every question, by its most likely token each time.
 * @throws OneroundError ARGUMENT (also a prompt that leaves no room), MISMATCH, MEMORY, NUMERIC, ABORTED
 */
export async function answer(
  base: Model,
  questions: readonly ExactQuestion[],
  o: ExactOptions = {},
): Promise<Answer[]> {
  if (questions.length === 0) throw noQuestions()
  const { maxTokens = 256, stop = ['\n'], extract = (text: string) => text.trim() } = o
  const slices = new Slices(o.signal)
  const prompts: number[][] = []
  for (const { prompt } of questions) {
    if (slices.due()) await slices.turn()
    prompts.push(promptTokens(base, prompt))
  }
  const longest = prompts.reduce((most, ids) => Math.max(most, ids.length), 0)
  using generator = new Generator(base, o.adapter, longest + maxTokens, o, Math.max(2, prompts.length))
  const greedy = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, maxTokens, stop }
  const clock = new Clock()
  const answers: Answer[] = []
  let done = 0
  const tell = (i: number, text: string) => {
    const found = extract(text)
    answers[i] = { text, found, right: found !== undefined && found === questions[i]?.answer }
    const secondsLeft = clock.secondsLeft(++done, prompts.length)
    o.onProgress?.({ phase: 'exact', done, total: prompts.length, secondsLeft })
  }
  await generator.texts(prompts, greedy, tell, o.signal)
  return answers
}

/** Share of right answers; `loss` is over the tokens of the known solutions. */
export async function evaluateExact(
  base: Model,
  questions: readonly ExactQuestion[],
  o: ExactOptions = {},
): Promise<Score> {
  const answers = await answer(base, questions, o)
  const each = await solutionLosses(base, questions, o)
  const whole = each.reduce((total, one) => ({ sum: total.sum + one.sum, tokens: total.tokens + one.tokens }))
  const n = questions.length
  const right = answers.filter((one) => one.right).length
  const score: Score = { ...scoreOf(whole), accuracy: right / n, questions: n }
  const loss = meanError(each)
  const accuracy = shareError(right, n)
  if (loss === undefined || accuracy === undefined) return score
  return { ...score, standardError: { loss, perplexity: score.perplexity * loss, accuracy } }
}

async function solutionLosses(base: Model, questions: readonly ExactQuestion[], o: ExactOptions): Promise<LossSum[]> {
  const examples = questions.map(
    ({ prompt, answer: known, solution }, id): Example => continuation(base, prompt, BLANK + (solution ?? known), id),
  )
  const each: LossSum[] = []
  using evaluator = new LossEvaluator(base, o.adapter, examples, { ...o, onMemory: undefined })
  await evaluator.sum(examples, o.signal, undefined, (_, sum, tokens) => each.push({ sum, tokens }))
  return each
}
