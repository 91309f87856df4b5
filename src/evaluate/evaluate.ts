import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { Score } from '../train/score.js'
import { type ChoiceQuestion, evaluateChoice } from './choice.js'
import { type ExactOptions, type ExactQuestion, evaluateExact } from './exact.js'
import { type EvaluateOptions, evaluateLoss } from './loss.js'

/** What is measured, and on what kind of data. */
export type Task = 'loss' | 'choice' | 'exact'

/**
 * Judges a base, or a base with an adapter, with the standard error of each number:
 * `loss` over all trained tokens of a dataset; `choice` by the most likely of a question's choices; `exact` by the most
 * likely text after a question. Losses are nats a token; they depend on the tokenizer and do not compare across base models.
 * @throws OneroundError ARGUMENT, UNSUPPORTED (another task), MISMATCH (an adapter of another base), MEMORY, NUMERIC, ABORTED
 */
export function evaluate(
  base: Model,
  data: Dataset,
  o?: EvaluateOptions & { task?: 'loss' | undefined },
): Promise<Score>
export function evaluate(
  base: Model,
  data: readonly ChoiceQuestion[],
  o: EvaluateOptions & { task: 'choice' },
): Promise<Score>
export function evaluate(
  base: Model,
  data: readonly ExactQuestion[],
  o: ExactOptions & { task: 'exact' },
): Promise<Score>
export async function evaluate(
  base: Model,
  data: Dataset | readonly ChoiceQuestion[] | readonly ExactQuestion[],
  o: ExactOptions & { task?: Task | undefined } = {},
): Promise<Score> {
  const task = o.task ?? 'loss'
  if (task === 'loss') {
    if (Array.isArray(data) || !('examples' in data)) throw wrongData(task, 'a dataset of loadExamples()')
    return evaluateLoss(base, data, o)
  }
  if (task === 'choice') {
    if (!areQuestions(data, 'choices')) throw wrongData(task, 'a list of { prompt, choices, answer }')
    return evaluateChoice(base, data as readonly ChoiceQuestion[], o)
  }
  if (task === 'exact') {
    if (!areQuestions(data, 'prompt')) throw wrongData(task, 'a list of { prompt, answer }')
    return evaluateExact(base, data as readonly ExactQuestion[], o)
  }
  throw new OneroundError('UNSUPPORTED', `The task ${String(task)} is not built.`, {
    found: String(task),
    expected: 'loss, choice or exact',
    fix: 'Use one of these tasks.',
  })
}

function areQuestions(data: object, field: string): boolean {
  return Array.isArray(data) && data.every((row: unknown) => typeof row === 'object' && row !== null && field in row)
}

function wrongData(task: Task, expected: string): OneroundError {
  return new OneroundError('ARGUMENT', `The data are not of the kind that the task ${task} judges.`, {
    expected,
    fix: 'Give such data, or another task.',
  })
}
