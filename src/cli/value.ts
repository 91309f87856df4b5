import { join } from 'node:path'
import type { Command } from 'commander'
import { loadExamples } from '../data/load.js'
import { isDealt, parseSplit } from '../data/partition.js'
import { valueRun } from '../federation/value-run.js'
import { readPlan } from '../update/plan.js'
import { baseOf, openBase } from './base.js'
import { runJob } from './job.js'
import { type CommonFlags, count, listOf, withCommon } from './options.js'
import { withFileFlags } from './plan-flags.js'
import type { Terminal } from './terminal.js'
import { valuationText } from './valuation-text.js'

interface Flags extends CommonFlags {
  base?: string
  data: string[]
  split?: string
  columns?: string[]
  arm?: string
  samples?: number
  learn?: ('weights' | 'lambda')[]
}

export function addValue(program: Command, terminal: Terminal): void {
  const command = program
    .command('value')
    .description("what each client's update adds on held-out data: Shapley values, leave-one-out; nothing is trained")
    .argument('<run>', 'a run folder')
    .option('--base <path>', "the base model; its digest is checked against the plan's")
    .requiredOption(
      '--data <paths...>',
      "held-out data; of the run's own data, given as to simulate, the held-out part",
    )
    .option('--split <rule>', "as simulate was told, where --data are the run's own and not a file for each client")
    .option('--arm <name>', "whose updates: RxE (default: the plan's own arm)")
    .option(
      '--samples <n>',
      'orders of clients to sample, also up to 10 clients (default: exact up to 10, else 32)',
      count,
    )
    .option(
      '--learn <list>',
      'also fit on half of the data and test on the other: weights, lambda',
      listOf('weights', 'lambda'),
    )
  withCommon(withFileFlags(command), [
    'oneround value run/first --base models/base --data clients/',
    'oneround value run/first --base models/base --data test.jsonl --samples 64',
    'oneround value run/iid --base models/base --data all.jsonl --split iid --learn weights,lambda --json',
  ]).action(async (run: string, flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      const plan = await readPlan(join(run, 'plan.json'))
      await using base = await openBase(baseOf(flags.base), job.options)
      const { template, cutoff, lossOn } = plan.data
      const rule = flags.split === undefined ? undefined : parseSplit(flags.split)
      const all = await loadExamples(flags.data, {
        template,
        cutoff,
        lossOn,
        columns: flags.columns,
        keep: rule !== undefined && 'field' in rule ? [rule.field] : [],
        tokenizer: base.tokenizer,
        signal: terminal.signal,
      })
      const clients = rule !== undefined && isDealt(rule) ? { clients: plan.clients.length } : {}
      const parts = all.split(flags.split ?? 'file', { seed: plan.train.seed, ...clients })
      const { arm, samples, learn } = flags
      const valued = await valueRun(run, base, parts, {
        ...job.options,
        arm,
        samples,
        learn,
        ownData: flags.split !== undefined,
      })
      return {
        json: { ...valued.valuation, arm: valued.arm, file: valued.file, own: valued.own },
        text: valuationText(valued),
      }
    }),
  )
}
