/** From the name of a task and files to a score. */
import { readText } from '../data/lines.js'
import { loadExamples } from '../data/load.js'
import { Slices } from '../data/slices.js'
import { encodeText } from '../data/tokenize.js'
import { evaluate } from '../evaluate/evaluate.js'
import type { EvaluateOptions, Score } from '../evaluate/loss.js'
import { slidingPerplexity } from '../evaluate/perplexity.js'
import { readArc } from '../evaluate/tasks/arc.js'
import { gsm8kAnswers, readGsm8k } from '../evaluate/tasks/gsm8k.js'
import { readMmlu } from '../evaluate/tasks/mmlu.js'
import { readChoices, readExact } from '../evaluate/tasks/own.js'
import { readSst2 } from '../evaluate/tasks/sst2.js'
import type { Model } from '../model/open.js'
import { readPlan } from '../update/plan.js'

export const taskNames = ['loss', 'perplexity', 'choice', 'exact', 'arc', 'mmlu', 'gsm8k', 'sst2'] as const

export interface TaskFlags {
  data: string[]
  task: (typeof taskNames)[number]
  plan?: string
  template?: string
  cutoff?: number
  lossOn?: 'all' | 'completion'
  columns?: string[]
  limit?: number
  shots?: number
  maxTokens?: number
  window?: number
  stride?: number
}

interface Judged {
  score: Score
  /** of the data, e.g. how many examples were cut */
  facts: Record<string, number>
}

export async function evaluateTask(base: Model, flags: TaskFlags, o: EvaluateOptions): Promise<Judged> {
  const { data, limit, shots, maxTokens } = flags
  const reading = { limit, shots, signal: o.signal }
  switch (flags.task) {
    case 'loss':
      return judgeLoss(base, flags, o)
    case 'perplexity':
      return judgeText(base, flags, o)
    case 'choice':
      return { score: await evaluate(base, await readChoices(data, reading), { ...o, task: 'choice' }), facts: {} }
    case 'arc':
      return { score: await evaluate(base, await readArc(data, reading), { ...o, task: 'choice' }), facts: {} }
    case 'mmlu':
      return { score: await evaluate(base, await readMmlu(data, reading), { ...o, task: 'choice' }), facts: {} }
    case 'sst2':
      return { score: await evaluate(base, await readSst2(data, reading), { ...o, task: 'choice' }), facts: {} }
    case 'exact':
      return {
        score: await evaluate(base, await readExact(data, reading), { ...o, task: 'exact', maxTokens }),
        facts: {},
      }
    case 'gsm8k': {
      const own = maxTokens === undefined ? gsm8kAnswers : { ...gsm8kAnswers, maxTokens }
      return { score: await evaluate(base, await readGsm8k(data, reading), { ...o, task: 'exact', ...own }), facts: {} }
    }
  }
}

async function judgeLoss(base: Model, flags: TaskFlags, o: EvaluateOptions): Promise<Judged> {
  const agreed = flags.plan === undefined ? undefined : (await readPlan(flags.plan)).data
  const data = await loadExamples(flags.data, {
    template: flags.template ?? agreed?.template ?? 'text',
    cutoff: flags.cutoff ?? agreed?.cutoff ?? 512,
    lossOn: flags.lossOn ?? agreed?.lossOn ?? 'all',
    columns: flags.columns,
    tokenizer: base.tokenizer,
    signal: o.signal,
  })
  return { score: await evaluate(base, data, o), facts: { examples: data.count, cut: data.cut } }
}

async function judgeText(base: Model, flags: TaskFlags, o: EvaluateOptions): Promise<Judged> {
  const texts: string[] = []
  const slices = new Slices(o.signal)
  for (const path of flags.data) texts.push((await readText(path, slices)).text)
  const ids = new Int32Array(await encodeText(texts.join('\n'), Number.POSITIVE_INFINITY, base.tokenizer, slices))
  const { window, stride } = flags
  return { score: await slidingPerplexity(base, ids, { ...o, window, stride }), facts: {} }
}
