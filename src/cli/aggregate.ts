import type { Command } from 'commander'
import type { Adapter } from '../adapter/adapter.js'
import { loadAdapter } from '../adapter/folder.js'
import type { Aggregate, FinishOptions, Keep } from '../aggregate/aggregator.js'
import { plainMethods } from '../aggregate/table.js'
import { OneroundError } from '../errors.js'
import { closeRound } from '../federation/server.js'
import { closeStateRound } from '../federation/state-round.js'
import { shorten } from '../report/escape.js'
import { textTable } from '../report/table.js'
import { startOfRound } from '../train/start.js'
import { besideUpdate } from '../update/beside.js'
import { type Plan, readPlan } from '../update/plan.js'
import { type Job, type Result, runJob } from './job.js'
import { type CommonFlags, choice, count, number, rankRule, weights, whole, withCommon } from './options.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags, FinishOptions {
  round: number
  start?: string
  state?: string
  merge?: string[]
  keep?: Keep
  out: string
}

/** Flags that go to `finish` as they are. */
const finishing = [
  'method',
  'rank',
  'weights',
  'lambda',
  'density',
  'drop',
  'seed',
  'trim',
  'byzantine',
  'clip',
  'statistics',
] as const satisfies readonly (keyof FinishOptions)[]

export function addAggregate(program: Command, terminal: Terminal): void {
  const command = program
    .command('aggregate')
    .description('updates to one adapter; needs no base model and no data')
    .argument('<plan>', 'the plan')
    .argument('[updates...]', 'update files of one round, each client once')
    .option('--round <n>', 'the round', count, 1)
    .option('--start <adapter>', 'from round 2: the folder that aggregate made of the round before')
    .option('--method <name>', `instead of the plan's: ${plainMethods.join(', ')}`, choice(...plainMethods))
    .option('--rank <n>', "rank of the adapter instead of the plan's: auto, a number, or energy:0.99", rankRule)
    .option('--weights <rule>', "instead of the plan's: examples, tokens, uniform, or a=0.3,b=0.7", weights)
    .option('--state <file>', 'go on from this state, or begin it: late clients can be added and others withdrawn')
    .option('--merge <states...>', 'with --state: take in the states of other processes')
    .option(
      '--keep <form>',
      'of a new state: updates (any method, weights and withdrawal later) or sums (bounded, whatever the number of clients)',
      choice('updates', 'sums'),
    )
    .option('--lambda <x>', 'task-arithmetic, ties, knots: factor of the merged update (default: 1)', number)
    .option('--density <x>', 'ties, knots: share of the elements that is kept (default: 0.2)', number)
    .option('--drop <x>', 'dare: probability that an element is dropped (default: 0.9)', number)
    .option('--seed <n>', 'dare (default: 0)', whole)
    .option('--trim <x>', 'trimmed-mean: share of the clients left out at either end (default: 0.1)', number)
    .option('--byzantine <n>', 'krum, multi-krum: clients that may be hostile (default: the most it allows)', whole)
    .option(
      '--statistics <files...>',
      'fisher, regmean: what the clients measured (default: NAME.METHOD.safetensors beside each update)',
    )
    .option('--clip <x>', 'norm-clipping: largest norm of an update (default: the median)', number)
    .requiredOption(
      '--out <adapter>',
      'folder of the adapter, as PEFT reads it; before the last round: what the next one starts from',
    )
  withCommon(command, [
    'oneround aggregate plan.json north.update.safetensors south.update.safetensors --out adapter',
    'oneround aggregate plan.json updates/*.update.safetensors --method stack --out adapter',
    'oneround aggregate plan.json updates/*.update.safetensors --weights north=0.7,south=0.3 --out adapter',
    'oneround aggregate plan.json updates/*.update.safetensors --method fisher --out adapter',
    'oneround aggregate plan.json round2/*.update.safetensors --round 2 --start after1 --out after2',
    'oneround aggregate plan.json late.update.safetensors --state round.state --out adapter',
    'oneround aggregate plan.json --merge east.state west.state --state round.state --out adapter',
  ]).action(async (file: string, updates: string[], flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      const plan = await readPlan(file)
      const finish: FinishOptions = Object.fromEntries(
        finishing.filter((name) => flags[name] !== undefined).map((name) => [name, flags[name]]),
      )
      const { method = plan.aggregate.method } = finish
      if (method === 'fisher' || method === 'regmean')
        finish.statistics ??= updates.map((update) => besideUpdate(update, method))
      if (flags.round < plan.rounds && Object.keys(finish).length > 0) throw notLast(plan, flags.round, finish)
      if (flags.state !== undefined) return fromState(plan, updates, { ...flags, state: flags.state }, finish, job)
      if (updates.length === 0 || flags.merge !== undefined || flags.keep !== undefined) throw noState(updates.length)
      return closed(plan, updates, flags, finish, job)
    }),
  )
}

async function fromState(
  plan: Plan,
  updates: string[],
  flags: Flags & { state: string },
  finish: FinishOptions,
  job: Job,
): Promise<Result> {
  const before = flags.start === undefined ? undefined : await loadAdapter(flags.start)
  const { signal, threads } = job.options
  const { state, merge, keep } = flags
  const o = { state, merge, keep, updates, finish, signal, threads }
  const closing = await closeStateRound(plan, startOfRound(plan, flags.round, before), o)
  await closing.served.adapter.save(flags.out)
  return {
    json: { ...told(closing.served, flags.out), state: { file: state, keeps: closing.keep, ...closing.state } },
    text: `${text(closing.served, flags.out)}\nstate of ${closing.clients.length} clients written to ${state}: ${stateWarning}`,
  }
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

function noState(updates: number): OneroundError {
  return new OneroundError(
    'ARGUMENT',
    updates === 0 ? 'There is nothing to aggregate' : '--merge and --keep are about states',
    {
      found: updates === 0 ? 'no update files' : 'no --state',
      expected: 'update files, or --state FILE',
      fix: 'Give the update files of the round, or the state.',
    },
  )
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

/** A state is as good as the updates in it. */
const stateWarning = 'it holds what clients sent, alone or summed, and is as confidential as their updates'
