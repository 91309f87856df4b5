import { type Command, Option } from 'commander'
import type { Adapter } from '../adapter/adapter.js'
import { loadAdapter } from '../adapter/folder.js'
import type { Aggregate, FinishOptions } from '../aggregate/aggregator.js'
import { OneroundError } from '../errors.js'
import { closeRound } from '../federation/server.js'
import { shorten } from '../report/escape.js'
import { textTable } from '../report/table.js'
import { startOfRound } from '../train/start.js'
import { type Plan, readPlan } from '../update/plan.js'
import { type Job, type Result, runJob } from './job.js'
import { autoOrCount, type CommonFlags, choice, count, weights, withCommon } from './options.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags, FinishOptions {
  round: number
  start?: string
  state?: string
  out: string
}

export function addAggregate(program: Command, terminal: Terminal): void {
  const command = program
    .command('aggregate')
    .description('updates to one adapter; needs no base model and no data')
    .argument('<plan>', 'the plan')
    .argument('<updates...>', 'update files of one round, each client once')
    .option('--round <n>', 'the round', count, 1)
    .option('--start <adapter>', 'from round 2: the folder that aggregate made of the round before')
    .option('--method <name>', "instead of the plan's: svd, stack, fedit", choice('svd', 'stack', 'fedit'))
    .option('--rank <n>', "rank of the adapter instead of the plan's: auto or a number", autoOrCount)
    .option('--weights <rule>', "instead of the plan's: examples, tokens, uniform, or a=0.3,b=0.7", weights)
    // Not built yet: taken only to be refused by name instead of as an unknown flag.
    .addOption(new Option('--state <file>').hideHelp())
    .requiredOption(
      '--out <adapter>',
      'folder of the adapter, as PEFT reads it; before the last round: what the next one starts from',
    )
  withCommon(command, [
    'oneround aggregate plan.json north.update.safetensors south.update.safetensors --out adapter',
    'oneround aggregate plan.json updates/*.update.safetensors --method stack --out adapter',
    'oneround aggregate plan.json updates/*.update.safetensors --weights north=0.7,south=0.3 --out adapter',
    'oneround aggregate plan.json round2/*.update.safetensors --round 2 --start after1 --out after2',
  ]).action(async (file: string, updates: string[], flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      if (flags.state !== undefined) throw noState(flags.state)
      const plan = await readPlan(file)
      const finish: FinishOptions = {
        ...(flags.method === undefined ? {} : { method: flags.method }),
        ...(flags.rank === undefined ? {} : { rank: flags.rank }),
        ...(flags.weights === undefined ? {} : { weights: flags.weights }),
      }
      if (flags.round < plan.rounds && Object.keys(finish).length > 0) throw notLast(plan, flags.round, finish)
      return closed(plan, updates, flags, finish, job)
    }),
  )
}

async function closed(plan: Plan, updates: string[], flags: Flags, finish: FinishOptions, job: Job): Promise<Result> {
  const before = flags.start === undefined ? undefined : await loadAdapter(flags.start)
  const { signal, threads } = job.options
  const round = await closeRound(plan, startOfRound(plan, flags.round, before), updates, { signal, threads, finish })
  if (round.last) {
    await round.served.adapter.save(flags.out)
    return { json: told(round.served, flags.out), text: text(round.served, flags.out) }
  }
  await round.exact.save(flags.out)
  return {
    json: {
      adapter: flags.out,
      round: flags.round,
      rounds: plan.rounds,
      rank: ranks(round.exact.layers),
      relativeError: 0,
    },
    text: `exact aggregate of round ${flags.round} of ${plan.rounds}, ${rankText(round.exact)}\nwritten to ${flags.out}: the next round starts from it (--round ${flags.round + 1} --start ${flags.out})`,
  }
}

function told({ method, weights, relativeError, layers, adapter }: Aggregate, out: string): object {
  return { adapter: out, method, weights, rank: ranks(adapter.layers), relativeError, layers }
}

function text(result: Aggregate, out: string): string {
  const rows = Object.entries(result.weights).map(([name, weight]) => [shorten(name, 64), weight.toFixed(4)])
  return [
    `${result.method}: ${rankText(result.adapter)}, relative error ${result.relativeError.toExponential(1)}`,
    textTable(['client', 'weight'], rows),
    ...(result.method === 'stack' ? [stackWarning] : []),
    `adapter written to ${out}`,
  ].join('\n')
}

function ranks(layers: readonly { rank: number }[]): { least: number; most: number } {
  const all = layers.map((layer) => layer.rank)
  return all.length === 0 ? { least: 0, most: 0 } : { least: Math.min(...all), most: Math.max(...all) }
}

function rankText({ layers, dense }: Adapter): string {
  const { least, most } = ranks(layers)
  const factors = layers.length === 0 ? [] : [`rank ${least === most ? most : `${least} to ${most}`}`]
  return [...factors, ...(dense.length === 0 ? [] : [`dense deltas of ${dense.length} tensors`])].join(', ')
}

function noState(file: string): OneroundError {
  return new OneroundError('UNSUPPORTED', 'Aggregation state files are not built yet.', {
    found: `--state ${file}`,
    expected: 'all update files of the round in one call',
    fix: 'Leave --state out.',
  })
}

/** Between rounds the sum stays exact: a method or other weights there would change what the plan agreed on. */
function notLast(plan: Plan, round: number, finish: FinishOptions): OneroundError {
  return new OneroundError('ARGUMENT', 'Method, rank and weights can be chosen anew only for the last round', {
    found: `--${Object.keys(finish).join(', --')} in round ${round} of ${plan.rounds}`,
    expected: 'none of them; the sum stays exact between rounds',
    fix: 'Leave them out, or give the last round with --round.',
  })
}

/** Said before anyone publishes such an adapter. */
const stackWarning =
  "A stacked adapter holds every client's factors verbatim: whoever gets it gets each client's update, not only the sum."
