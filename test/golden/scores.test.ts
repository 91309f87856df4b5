/** SmolLM2-135M from its GGUF against transformers in f32: likelihoods of choices, and the most likely text. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { choose, scoreChoices } from '../../src/evaluate/choice.js'
import { generate } from '../../src/evaluate/generate.js'
import { readArc } from '../../src/evaluate/tasks/arc.js'
import { readGsm8k } from '../../src/evaluate/tasks/gsm8k.js'
import { readMmlu } from '../../src/evaluate/tasks/mmlu.js'
import { readSst2 } from '../../src/evaluate/tasks/sst2.js'
import { openModel } from '../../src/model/open.js'
import { sharedFile, skipReason } from './shared-files.js'

const gguf = 'models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf'
const arc = 'data/arc/arc_easy.jsonl'
const known = 'golden/smollm2_scores.json'

interface Scores {
  arc_easy: {
    prompt: string
    choices: string[]
    loglikelihood: number[]
    tokens: number[]
    label: number
    acc_pred: number
    acc_norm_pred: number
  }[]
  arc_easy_acc: number
  arc_easy_acc_norm: number
  greedy: { prompt: string; ids: number[]; text: string }[]
  chat_template: { messages: { role: string; content: string }[]; text: string }
}

const reason = skipReason(gguf, arc, known)
describe.skipIf(reason !== undefined)('golden smollm2_scores', () => {
  const golden = () => JSON.parse(readFileSync(sharedFile(known) ?? '', 'utf8')) as Scores

  it('gives the likelihood of every choice of ARC within 1e-2, and the same accuracies', {
    timeout: 600_000,
  }, async () => {
    const scores = golden()
    const questions = await readArc([sharedFile(arc) ?? ''], { limit: scores.arc_easy.length })
    await using base = await openModel(sharedFile(gguf) ?? '')
    const made = await choose(base, questions)
    let worst = 0
    for (const [i, one] of scores.arc_easy.entries()) {
      expect(questions[i]).toEqual({
        prompt: one.prompt,
        choices: one.choices.map((choice) => choice.slice(1)),
        answer: one.label,
      })
      expect(made[i]?.tokens).toEqual(one.tokens)
      one.loglikelihood.forEach((value, j) => {
        const error = Math.abs((made[i]?.loglikelihoods[j] ?? Number.NaN) - value)
        worst = Math.max(worst, error)
        expect(error, `question ${i}, choice ${j}`).toBeLessThan(1e-2)
      })
      expect(made[i]?.picked).toBe(one.acc_pred)
      expect(made[i]?.pickedNormalized).toBe(one.acc_norm_pred)
    }
    const score = scoreChoices(questions, made)
    expect(score.accuracy).toBe(scores.arc_easy_acc)
    expect(score.accuracyNormalized).toBe(scores.arc_easy_acc_norm)
    console.log(
      `ARC: acc ${score.accuracy}, normalised ${score.accuracyNormalized}, furthest ${worst.toExponential(1)}`,
    )
  })

  it('says the most likely text, in whole pieces', { timeout: 120_000 }, async () => {
    await using base = await openModel(sharedFile(gguf) ?? '')
    for (const { prompt, ids, text } of golden().greedy) {
      const count = ids.length - base.tokenizer.encode(prompt).length
      const pieces: string[] = []
      for await (const piece of generate(base, prompt, { maxTokens: count })) pieces.push(piece)
      expect(pieces.length).toBeGreaterThan(count / 2)
      expect(prompt + pieces.join('')).toBe(text)
      expect(base.tokenizer.encode(prompt + pieces.join(''))).toEqual(ids)
    }
  })
})

const dataReason = skipReason('data/arc', 'data/gsm8k', 'data/mmlu', 'data/sst2')
describe.skipIf(dataReason !== undefined)('the data sets as published', () => {
  const data = (path: string) => sharedFile(`data/${path}`) ?? ''

  it('are read to their last question', async () => {
    expect(await readArc([data('arc/arc_easy.jsonl')])).toHaveLength(2376)
    expect(await readArc([data('arc/arc_challenge.jsonl')])).toHaveLength(1172)
    expect(await readGsm8k([data('gsm8k/test.jsonl')], { shots: 8 })).toHaveLength(1319)
    expect(await readGsm8k([data('gsm8k/train.jsonl')])).toHaveLength(7473)
    expect(await readSst2([data('sst2/dev.tsv')], { shots: 2 })).toHaveLength(872)
    const subjects = readdirSync(data('mmlu/test')).map((name) => join(data('mmlu/test'), name))
    expect(subjects).toHaveLength(57)
    const questions = await readMmlu(subjects)
    expect(questions).toHaveLength(14_042)
    expect(questions.every(({ prompt }) => (prompt.match(/\nAnswer: [ABCD]\n\n/g) ?? []).length >= 5)).toBe(true)
  })
})
