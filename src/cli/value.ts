import { join } from 'node:path'
import type { Command } from 'commander'
import type { Dataset } from '../data/dataset.js'
import { isDealt, parseSplit } from '../data/partition.js'
import { OneroundError } from '../errors.js'
import { valueRun } from '../federation/value-run.js'
import type { Model } from '../model/open.js'
import { type Plan, readPlan } from '../update/plan.js'
import { baseOf, embeddedBase, openBase } from './base.js'
import { demoClients } from './demo-clients.js'
import { runJob } from './job.js'
import { type CommonFlags, count, listOf, withCommon } from './options.js'
import { loadPlanData } from './plan-data.js'
import { withFileFlags } from './plan-flags.js'
import type { Terminal } from './terminal.js'
import { valuationText } from './valuation-text.js'

interface Flags extends CommonFlags {
  base?: string
  data?: string[]
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
    .option(
      '--base <path>',
      "the base model; its digest is checked against the plan's (the demo's run: the embedded one)",
    )
    .option(
      '--data <paths...>',
      "held-out data; of the run's own data, given as to simulate, the held-out part (the demo's run: the demo's own)",
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
    'oneround value run/demo --samples 16',
    'oneround value run/first --base models/base --data clients/',
    'oneround value run/first --base models/base --data test.jsonl --samples 64',
    'oneround value run/iid --base models/base --data all.jsonl --split iid --learn weights,lambda --json',
  ]).action(async (run: string, flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      const plan = await readPlan(join(run, 'plan.json'))
      const isDemo = flags.data === undefined && flags.split === undefined
      await using base = await openBase(isDemo ? (flags.base ?? embeddedBase()) : baseOf(flags.base), job.options)
      const parts = isDemo
        ? await demoParts(plan, base, terminal.signal)
        : await partsOf({ ...flags, data: flags.data ?? [] }, plan, base, terminal.signal)
      const { arm, samples, learn } = flags
      const valued = await valueRun(run, base, parts, {
        ...job.options,
        arm,
        samples,
        learn,
        ownData: isDemo || flags.split !== undefined,
      })
      return {
        json: { ...valued.valuation, arm: valued.arm, file: valued.file, own: valued.own },
        text: valuationText(valued),
      }
    }),
  )
}

async function partsOf(
  flags: Flags & { data: string[] },
  plan: Plan,
  base: Model,
  signal: AbortSignal,
): Promise<Record<string, Dataset>> {
  const rule = flags.split === undefined ? undefined : parseSplit(flags.split)
  const keep = rule !== undefined && 'field' in rule ? [rule.field] : []
  const all = await loadPlanData(flags, plan, base, { signal, keep })
  const clients = rule !== undefined && isDealt(rule) ? { clients: plan.clients.length } : {}
  return all.split(flags.split ?? 'file', { seed: plan.train.seed, ...clients })
}

/** The demo's own text where the run is the demo's; every other run has its data in files. */
async function demoParts(plan: Plan, base: Model, signal: AbortSignal): Promise<Record<string, Dataset>> {
  const { sha256 } = await base.id()
  const parts = sha256 === plan.base.sha256 ? await demoClients(base, plan.train.seed, signal) : {}
  const names = Object.keys(parts)
  if (names.length > 0 && names.length === plan.clients.length && plan.clients.every(({ name }) => name in parts))
    return parts
  throw new OneroundError('ARGUMENT', 'What to value the clients on is not given', {
    found: 'no --data, and a run that is not of oneround demo',
    expected: "held-out data, or the run's own",
    fix: 'Add --data PATH..',
  })
}
