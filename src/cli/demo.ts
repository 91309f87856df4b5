import type { Command } from 'commander'
import { OneroundError } from '../errors.js'
import type { ArmName } from '../federation/arms.js'
import { simulate } from '../federation/simulate.js'
import { isRunFolder } from '../run/folder.js'
import { createPlan, type PlanOptions } from '../update/create-plan.js'
import { embeddedBase, openBase } from './base.js'
import { DEMO_CUTOFF, demoClients } from './demo-clients.js'
import { runJob } from './job.js'
import { type CommonFlags, whole, withCommon } from './options.js'
import { comparison, sizesTable } from './simulate.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags {
  base?: string
  out: string
  seed: number
}

/** What the demo trains: three local epochs in one round, the last fifth of each president held out. */
const settings = {
  epochs: 3,
  rounds: 1,
  cutoff: DEMO_CUTOFF,
  heldOut: 0.2,
  rank: 16,
  batch: 4,
  learningRate: 1e-3,
} satisfies PlanOptions

const compare: ArmName[] = ['base', 'client', '1x3', '3x1', 'pooled']

export function addDemo(program: Command, terminal: Terminal): void {
  const command = program
    .command('demo')
    .description('ten presidents fine-tune a small model together: one round beside three, alone and pooled')
    .option('--base <path>', 'another base model than the embedded one')
    .option('--out <run>', 'the run folder; a run that is there already goes on, or is shown again', 'run/demo')
    .option('--seed <n>', 'seed of the sample and of training', whole, 0)
  withCommon(command, [
    'oneround demo',
    'oneround demo --seed 1 --out run/demo-1',
    'oneround demo --base models/base --out run/other',
  ]).action(async (flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      await using base = await openBase(flags.base ?? embeddedBase(), job.options)
      const clients = await demoClients(base, flags.seed, terminal.signal)
      const plan = await createPlan(base, { ...settings, seed: flags.seed, clients: Object.keys(clients) })
      if (await isRunFolder(flags.out)) job.note(`${flags.out} is a run already: what is finished there is not redone`)
      job.note(sizesTable(clients))
      await simulate(base, clients, plan, { ...job.options, compare, folder: flags.out, resume: true }).catch(
        otherSettings,
      )
      return comparison(flags.out)
    }),
  )
}

function otherSettings(failure: unknown): never {
  if (failure instanceof OneroundError && failure.code === 'MISMATCH') {
    throw new OneroundError('MISMATCH', failure.message, {
      found: failure.found,
      expected: failure.expected,
      fix: 'Give the seed and base that the run was started with, or another folder with --out.',
      cause: failure,
    })
  }
  throw failure
}
