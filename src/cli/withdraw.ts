import { statSync } from 'node:fs'
import type { Command } from 'commander'
import { OneroundError } from '../errors.js'
import { withdrawFromRun, withdrawFromState } from '../federation/withdraw.js'
import { readPlan } from '../update/plan.js'
import { type Job, type Result, runJob } from './job.js'
import { type CommonFlags, withCommon } from './options.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags {
  client: string
  plan?: string
  update?: string[]
}

export function addWithdraw(program: Command, terminal: Terminal): void {
  const command = program
    .command('withdraw')
    .description("take a client's update out of a run or a state: what is left is as if it had never been there")
    .argument('<run|state>', 'a run folder, or a state file of aggregate --state')
    .requiredOption('--client <name>', 'the client')
    .option('--plan <file>', 'for a state: the plan that it was made with')
    .option('--update <files...>', 'for a state that kept only sums: the update files that it needs again')
  withCommon(command, [
    'oneround withdraw run/demo --client north',
    'oneround withdraw round.state --plan plan.json --client north',
    'oneround withdraw round.state --plan plan.json --client north --update north.update.safetensors',
  ]).action(async (path: string, flags: Flags) =>
    runJob(terminal, flags, async (job) =>
      // What is not there is told by the reader of states.
      statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
        ? fromRun(path, flags, job)
        : fromState(path, flags, job),
    ),
  )
}

async function fromRun(path: string, flags: Flags, job: Job): Promise<Result> {
  const { signal, threads } = job.options
  return told(await withdrawFromRun(path, flags.client, { signal, threads }), flags.client)
}

async function fromState(path: string, flags: Flags, job: Job): Promise<Result> {
  if (flags.plan === undefined) {
    throw new OneroundError('ARGUMENT', 'A state is read with its plan', {
      found: 'no --plan',
      expected: '--plan FILE',
      fix: 'Give the plan that the state was made with.',
    })
  }
  const { signal, threads } = job.options
  const updates = flags.update === undefined ? {} : { updates: flags.update }
  return told(
    await withdrawFromState(await readPlan(flags.plan), path, flags.client, { signal, threads, ...updates }),
    flags.client,
  )
}

function told({ withdrawal, receipt }: Awaited<ReturnType<typeof withdrawFromRun>>, client: string): Result {
  return {
    json: { receipt, ...withdrawal },
    text: [
      `${client} withdrawn; state ${withdrawal.stateBefore.slice(0, 16)} is now ${withdrawal.stateAfter.slice(0, 16)}`,
      ...withdrawal.deleted.map(({ file }) => `deleted ${file}`),
      'what this cannot undo:',
      ...withdrawal.cannotUndo.map((line) => `  ${line}`),
      `receipt written to ${receipt}`,
    ].join('\n'),
  }
}
