import type { Command } from 'commander'
import { loadPeft } from '../adapter/peft.js'
import { loadExamples } from '../data/load.js'
import { evaluate } from '../evaluate/loss.js'
import { openModel } from '../model/open.js'
import { formatCount, formatLoss, formatPerplexity } from '../report/numbers.js'
import { readPlan } from '../update/plan.js'
import { runJob } from './job.js'
import { type CommonFlags, choice, withCommon } from './options.js'
import { withDataFlags } from './planFlags.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags {
  base: string
  adapter?: string
  data: string[]
  plan?: string
  task: 'loss'
  template?: string
  cutoff?: number
  lossOn?: 'all' | 'completion'
}

export function addEvaluate(program: Command, terminal: Terminal): void {
  const command = program
    .command('evaluate')
    .description('loss and perplexity of a base, or of a base with an adapter, on data')
    .requiredOption('--base <path>', 'the base model: a Hugging Face folder or a .gguf file')
    .requiredOption('--data <files...>', 'JSON Lines or text; all of it is judged')
    .option('--adapter <folder>', 'a PEFT folder')
    .option('--plan <file>', 'take template, cutoff and loss-on from a plan; flags win over it')
    .option('--task <name>', 'what is measured: loss', choice('loss'), 'loss')
  withCommon(withDataFlags(command), [
    'oneround evaluate --base models/base --data test.jsonl',
    'oneround evaluate --base models/base --adapter adapter --data test.jsonl --plan plan.json',
    'oneround evaluate --base model.gguf --data qa.jsonl --template prompt-completion --loss-on completion --json',
  ]).action(async (flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      const agreed = flags.plan === undefined ? undefined : (await readPlan(flags.plan)).data
      await using base = await openModel(flags.base)
      const data = await loadExamples(flags.data, {
        template: flags.template ?? agreed?.template ?? 'text',
        cutoff: flags.cutoff ?? agreed?.cutoff ?? 512,
        lossOn: flags.lossOn ?? agreed?.lossOn ?? 'all',
        tokenizer: base.tokenizer,
        signal: terminal.signal,
      })
      const adapter = flags.adapter === undefined ? undefined : await loadPeft(flags.adapter)
      const score = await evaluate(base, data, {
        ...job.options,
        ...(adapter === undefined ? {} : { adapter }),
        task: flags.task,
      })
      const text = [
        `loss        ${formatLoss(score.loss)} nats a token`,
        `perplexity  ${formatPerplexity(score.perplexity)}`,
        `over        ${formatCount(score.tokens)} tokens of ${formatCount(data.count)} examples, ${formatCount(data.cut)} cut`,
      ].join('\n')
      return { json: { ...score, examples: data.count, cut: data.cut }, text }
    }),
  )
}
