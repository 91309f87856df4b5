import type { Command } from 'commander'
import { loadAdapter } from '../adapter/folder.js'
import { OneroundError } from '../errors.js'
import { openBase } from './base.js'
import { runJob } from './job.js'
import { type CommonFlags, choice, count, whole, withCommon } from './options.js'
import { withDataFlags, withFileFlags } from './plan-flags.js'
import { scoreText } from './score.js'
import { evaluateTask, type TaskFlags, taskNames } from './tasks.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags, TaskFlags {
  base: string
  adapter?: string
  compute?: 'auto' | 'f32' | 'bf16'
}

export function addEvaluate(program: Command, terminal: Terminal): void {
  const command = program
    .command('evaluate')
    .description('loss, or right answers, of a base or of a base with an adapter on data')
    .requiredOption('--base <path>', 'the base model: a Hugging Face folder or a .gguf file')
    .requiredOption('--data <files...>', 'what is judged; see --task')
    .option('--adapter <folder>', 'folder of an adapter, as aggregate or PEFT writes it')
    .option(
      '--compute <type>',
      'arithmetic of losses: f32, bf16, or auto (default: f32); what is generated is always f32',
      choice('auto', 'f32', 'bf16'),
    )
    .option('--plan <file>', 'take template, cutoff and loss-on from a plan; flags win over it (task loss)')
    .option('--task <name>', `what is measured: ${taskNames.join(', ')}`, choice(...taskNames), 'loss')
    .option('--limit <n>', 'only the first n questions', count)
    .option(
      '--shots <n>',
      'solved examples before each question (mmlu, gsm8k, sst2; default: 5 for mmlu, else 0)',
      whole,
    )
    .option('--max-tokens <n>', 'most tokens of an answer (exact, gsm8k; default 256)', count)
    .option('--window <n>', 'tokens read at once (perplexity; default 1024)', count)
    .option('--stride <n>', 'tokens from one window to the next (perplexity; default: half a window)', count)
  withCommon(withFileFlags(withDataFlags(command)), [
    'oneround evaluate --base models/base --data test.jsonl',
    'oneround evaluate --base models/base --adapter adapter --data test.jsonl --plan plan.json',
    'oneround evaluate --base model.gguf --data qa.jsonl --template prompt-completion --loss-on completion --json',
    'oneround evaluate --base model.gguf --task arc --data arc_easy.jsonl --limit 100',
    'oneround evaluate --base model.gguf --task mmlu --data mmlu/test/anatomy_test.csv --shots 5',
  ])
    .addHelpText('after', `\n${formats}`)
    .action(async (flags: Flags) =>
      runJob(terminal, flags, async (job) => {
        checkFlags(flags)
        await using base = await openBase(flags.base, job.options)
        const adapter = flags.adapter === undefined ? undefined : await loadAdapter(flags.adapter)
        const { score, facts } = await evaluateTask(base, flags, { ...job.options, adapter, compute: flags.compute })
        return { json: { task: flags.task, ...score, ...facts }, text: scoreText(score, facts) }
      }),
    )
}

const formats = `Data of each task:
  loss        rows as for training, or a text
  perplexity  plain text files, each read through a sliding window
  choice      JSON Lines: {"prompt": "...", "choices": ["...", "..."], "answer": 0}
  exact       JSON Lines: {"prompt": "...", "answer": "..."}
  arc         JSON Lines: {"query": "...", "choices": [...], "gold": 0}
  mmlu        NAME_test.csv with question,choice0,...,choice3,answer; solved examples from ../dev/NAME_dev.csv
  gsm8k       JSON Lines: {"question": "...", "answer": "... #### n"}; solved examples from train.jsonl beside it
  sst2        sentence<TAB>0|1 a line; solved examples from train.tsv beside it`

/** A flag that a task does not read would be a silent slip. */
function checkFlags(flags: Flags): void {
  const readBy: [keyof TaskFlags, string, string[]][] = [
    ['plan', '--plan', ['loss']],
    ['template', '--template', ['loss']],
    ['cutoff', '--cutoff', ['loss']],
    ['lossOn', '--loss-on', ['loss']],
    ['columns', '--columns', ['loss']],
    ['limit', '--limit', ['choice', 'exact', 'arc', 'mmlu', 'gsm8k', 'sst2']],
    ['shots', '--shots', ['mmlu', 'gsm8k', 'sst2']],
    ['maxTokens', '--max-tokens', ['exact', 'gsm8k']],
    ['window', '--window', ['perplexity']],
    ['stride', '--stride', ['perplexity']],
  ]
  for (const [key, flag, tasks] of readBy) {
    if (flags[key] === undefined || tasks.includes(flags.task)) continue
    throw new OneroundError('ARGUMENT', `The task ${flags.task} does not read ${flag}.`, {
      found: flag,
      expected: `${flag} with --task ${tasks.join(', ')}`,
      fix: 'Leave it out, or name another task.',
    })
  }
}
