/** A text after a prompt, with the loss on the text alone. */
import { type Example, UNTRAINED } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { TextModel } from './continue-text.js'

/** What parts a prompt from what follows; byte-level tokenizers join it to the first word. */
export const BLANK = ' '

/**
 * Prompt and text are encoded as one; the text's tokens are as many as the whole has more than the prompt alone, as
 * EleutherAI's lm-evaluation-harness counts them. Where the whole is longer than the model, the prompt's beginning is cut.
 * @throws OneroundError ARGUMENT where there is no token to predict the text from
 */
export function continuation(base: TextModel, prompt: string, text: string, id: number): Example {
  const { tokenizer, spec } = base
  const whole = tokenizer.encode(prompt + text)
  const own = Math.max(1, whole.length - tokenizer.encode(prompt).length)
  if (prompt === '' || own >= whole.length || own >= spec.maxPositions) {
    throw new OneroundError('ARGUMENT', `Question ${id + 1} cannot be judged.`, {
      found: `a prompt of ${whole.length - own} tokens, a text of ${own}`,
      expected: `a prompt, and a text of fewer than ${spec.maxPositions} tokens`,
      fix: 'Give every question a prompt, and shorten its longest choice.',
    })
  }
  const cut = whole.length > spec.maxPositions
  const ids = Int32Array.from(cut ? whole.slice(-spec.maxPositions) : whole)
  const labels = new Int32Array(ids.length).fill(UNTRAINED)
  for (let target = ids.length - own; target < ids.length; target++) labels[target - 1] = ids[target] as number
  return { ids, labels, id, characters: prompt.length + text.length, cut }
}
