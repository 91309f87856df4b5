/**
 * Stanford Alpaca's prompts, word for word as in PROMPT_DICT of train.py in github.com/tatsu-lab/stanford_alpaca: the
 * answer follows "### Response:" directly, and a row whose input is missing or empty has the shorter prompt.
 */
import type { Template } from './templates.js'

const HEAD = 'Below is an instruction that describes a task'
const ASK = 'Write a response that appropriately completes the request.'

function alpacaPrompt(instruction: string, input: string): string {
  return input === ''
    ? `${HEAD}. ${ASK}\n\n### Instruction:\n${instruction}\n\n### Response:`
    : `${HEAD}, paired with an input that provides further context. ${ASK}\n\n### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:`
}

export const alpaca: Template = {
  fields: ['instruction', 'input', 'output'],
  wanted: 'the fields instruction, output and, where there is one, input',
  hasPrompt: true,
  endOfText: true,
  needsChat: false,
  render(row) {
    const prompt = alpacaPrompt(row.text('instruction'), row.has('input') ? row.text('input') : '')
    return [
      { text: prompt, completion: false },
      { text: row.text('output'), completion: true },
    ]
  },
}
