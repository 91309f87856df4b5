import type { Command } from 'commander'
import { OneroundError } from '../errors.js'
import { shorten } from '../report/escape.js'
import { formatBytes } from '../report/numbers.js'
import { createPlan } from '../update/create-plan.js'
import { describeTrainable } from '../update/describe.js'
import { updateCount } from '../update/layers.js'
import { type Plan, planSha256, writePlan } from '../update/plan.js'
import { openBase } from './base.js'
import { runJob } from './job.js'
import { type CommonFlags, list, withCommon } from './options.js'
import { type PlanFlags, planOptions, withPlanFlags } from './plan-flags.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags, PlanFlags {
  base: string
  out: string
}

export function addPlan(program: Command, terminal: Terminal): void {
  const command = program
    .command('plan')
    .description('write the agreement that every client and the server hold to')
    .requiredOption('--base <path>', 'the base model: a Hugging Face folder or a .gguf file')
    .option('--clients <list>', 'names of the clients', list)
    .requiredOption('--out <file>', 'where the plan goes')
  withCommon(withPlanFlags(command), [
    'oneround plan --base models/base --clients north,south --out plan.json',
    'oneround plan --base model.gguf --clients a,b,c --rank 16 --alpha 32 --targets q_proj,v_proj --epochs 3 --out plan.json',
    'oneround plan --base models/base --clients a,b --config options.json --share examples,losses --out plan.json',
  ]).action(async (flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      const options = await planOptions(flags)
      if (options.clients === undefined) throw noClients()
      await using base = await openBase(flags.base, job.options)
      const plan = await createPlan(base, options)
      await writePlan(flags.out, plan)
      return {
        json: { plan, planSha256: planSha256(plan), file: flags.out },
        text: `${describePlan(plan)}\nwritten to ${flags.out}`,
      }
    }),
  )
}

/** A plan as a person checks it before agreeing. */
function describePlan(plan: Plan): string {
  const { train, data, aggregate } = plan
  const { trainable } = train
  const clients = plan.clients.map((client) => client.name).join(', ')
  const isFull = trainable.kind === 'full'
  const layers = isFull ? '' : ` on ${plan.layers.length} layers`
  const trains = `${describeTrainable(trainable, layers)}, ${formatBytes(4 * updateCount(plan))} an update`
  const what = { full: 'the changes', lora: 'the factors', ffa: 'the B', 'fed-sb': 'the cores' }[trainable.kind]
  const weights = typeof aggregate.weights === 'string' ? `weights by ${aggregate.weights}` : 'weights as given'
  const rows = [
    ['plan', planSha256(plan)],
    ['base', `${shorten(plan.base.id, 24)}, weights ${plan.base.sha256.slice(0, 16)}…`],
    ['clients', clients === '' ? 'anybody' : clients],
    ['trains', trains],
    ['rounds', `${plan.rounds} of ${train.epochs} local epochs each`],
    [
      'steps',
      `${train.batch * train.accumulate} examples each, ${train.optimizer}, ${train.schedule} from ${train.learningRate}`,
    ],
    [
      'data',
      `template ${data.template}, cut at ${data.cutoff} tokens, loss on ${data.lossOn}, ${data.heldOut} held out`,
    ],
    ['strategy', Object.values(plan.strategy ?? { name: 'fedavg' }).join(', ')],
    [
      'aggregate',
      isFull ? `${aggregate.method}, ${weights}` : `${aggregate.method}, rank ${aggregate.rank}, ${weights}`,
    ],
    ['shares', plan.share.length === 0 ? `${what} only` : `${what} and ${plan.share.join(', ')}`],
    ...stopRows(plan),
    ['seed', String(train.seed)],
  ]
  return rows.map(([name, value]) => `${(name ?? '').padEnd(11)}${value}`).join('\n')
}

/** How the clients look at their held-out part while they train. */
function stopRows({ train }: Plan): string[][] {
  const { evaluateEvery, patience } = train
  if (evaluateEvery === undefined) return []
  const every = evaluateEvery === 'epoch' ? 'every epoch' : `every ${evaluateEvery} steps`
  const stop = patience === undefined ? '' : `; ends after ${patience} without a new best`
  return [['looks', `at the held-out part ${every}${stop}`]]
}

/** An open plan is a choice, so it has to be made: the config can say "clients": []. */
function noClients(): OneroundError {
  return new OneroundError('ARGUMENT', 'The plan needs the names of its clients', {
    found: 'neither --clients nor "clients" in --config',
    expected: 'names such as north,south',
    fix: 'Add --clients north,south.',
  })
}

/** The plan's client of that name, refused early where there is none. */
export function checkClient(plan: Plan, client: string): void {
  if (plan.clients.length === 0 || plan.clients.some((known) => known.name === client)) return
  throw new OneroundError('MISMATCH', 'The plan does not know this client', {
    found: client,
    expected: plan.clients
      .slice(0, 20)
      .map((known) => known.name)
      .join(', '),
    fix: 'Give one of those names to --client, or make a plan that lists this one.',
  })
}
