import type { Command } from 'commander'
import { loadAdapter } from '../adapter/folder.js'
import type { FinishOptions, Keep } from '../aggregate/aggregator.js'
import { plainMethods } from '../aggregate/table.js'
import { OneroundError } from '../errors.js'
import { closeFiles } from '../federation/by-file/close.js'
import { closeStateRound } from '../federation/state-round.js'
import { startOfRound } from '../train/start.js'
import { besideUpdate } from '../update/beside.js'
import { type Plan, readPlan } from '../update/plan.js'
import { closedResult, servedText, stateWarning, told } from './aggregate-text.js'
import { type Job, type Result, runJob } from './job.js'
import { type CommonFlags, choice, count, number, rankRule, weights, whole, withCommon } from './options.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags, FinishOptions {
  round: number
  start?: string
  server?: string
  last?: true
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
    .option(
      '--server <folder>',
      'where the strategy keeps something between rounds (momentum, moments, versions): it never travels',
    )
    .option('--last', 'fedbuff: no more updates will come; what has come is served')
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
    'oneround aggregate adam.json round2/*.update.safetensors --round 2 --start after1 --server server --out after2',
    'oneround aggregate fedbuff.json north.update.safetensors east.update.safetensors --server server --out newest',
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
      if (flags.round < plan.rounds && plan.strategy?.name !== 'fedbuff' && Object.keys(finish).length > 0)
        throw notLast(plan, flags.round, finish)
      if (flags.state !== undefined) return fromState(plan, updates, { ...flags, state: flags.state }, finish, job)
      if ((updates.length === 0 && flags.last !== true) || flags.merge !== undefined || flags.keep !== undefined)
        throw noState(updates.length)
      const { round, start, server, last, out } = flags
      const { signal, threads } = job.options
      const o = { round, start, server, isLast: last, out, finish, signal, threads }
      return closedResult(await closeFiles(plan, updates, o), plan, out)
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
    text: `${servedText(closing.served, flags.out)}\nstate of ${closing.clients.length} clients written to ${state}: ${stateWarning}`,
  }
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
