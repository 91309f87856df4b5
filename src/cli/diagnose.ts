import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { loadAdapter } from '../adapter/folder.js'
import { USUAL_LINKS } from '../diagnose/cost.js'
import { type DiagnoseOptions, diagnose } from '../diagnose/diagnose.js'
import { makeLosses, writeLosses } from '../diagnose/losses-file.js'
import type { Diagnosis } from '../diagnose/types.js'
import { OneroundError } from '../errors.js'
import { storyOf } from '../report/story.js'
import { readValued } from '../report/valued.js'
import { writeAtomic } from '../run/atomic.js'
import { adapterSha256 } from '../update/digest.js'
import { type Plan, readPlan } from '../update/plan.js'
import { baseOf, openBase } from './base.js'
import { calibrateCommand } from './calibrate.js'
import { divide, fieldsOf, splitOf } from './clients.js'
import { type Job, type Result, runJob } from './job.js'
import { type CommonFlags, count, number, whole, withCommon } from './options.js'
import { checkClient } from './plan.js'
import { loadPlanData } from './plan-data.js'
import { withFileFlags } from './plan-flags.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags {
  client?: string
  data?: string[]
  columns?: string[]
  base?: string
  split?: string
  label?: string
  aggregate?: string
  out?: string
  margin?: number
  budget?: number
  up?: number
  down?: number
  spread?: number
  calibrate?: true
  federations: number
  seed: number
}

export function addDiagnose(program: Command, terminal: Terminal): void {
  const command = program
    .command('diagnose')
    .description('is one round enough? measured from run folders, from updates, or at one client before training')
    .argument('[what...]', 'run folders; or a plan and update files (and NAME.losses.json); or a plan with --client')
    .option('--client <name>', "with a plan: this client's name; its data is the evidence")
    .option('--data <paths...>', "the client's data; with a run: the data it was simulated with")
    .option('--base <path>', 'the base model; its digest is checked against the plan')
    .option('--split <rule>', "with a run's data: how simulate divided it")
    .option('--label <field>', 'the field of dirichlet:ALPHA')
    .option('--aggregate <adapter>', "with --client: judge scalings of this aggregate for the host's diagnosis (--out)")
    .option(
      '--out <path>',
      'NAME.losses.json of --aggregate; the folder of --calibrate; else where the diagnosis is written as JSON',
    )
    .option('--margin <share>', 'share of the gain over base that one round may cost (default: 0.02)', number)
    .option(
      '--budget <share>',
      "share of the training's cost that measuring may take (default: 0.05; with a run 0.25)",
      number,
    )
    .option('--up <mbit>', `each client's link to the host, Mbit/s (default: ${USUAL_LINKS.upMbit})`, number)
    .option('--down <mbit>', `and back (default: ${USUAL_LINKS.downMbit})`, number)
    .option(
      '--spread <sigma>',
      `spread of clients' times: deviation of the logarithm (default: ${USUAL_LINKS.spread})`,
      number,
    )
    .option('--calibrate', 'run small federations of known truth and fit the rules of the other two kinds of evidence')
    .option('--federations <n>', 'with --calibrate: how many are drawn', count, 60)
    .option('--seed <n>', 'with --calibrate: seed of the drawing', whole, 0)
  withCommon(withFileFlags(command), [
    'oneround diagnose run/seed-0 run/seed-1 run/seed-2',
    'oneround diagnose run/seed-0 run/seed-1 run/seed-2 --base models/base --data clients/',
    'oneround diagnose plan.json --client north --data north.jsonl --base models/base',
    'oneround diagnose plan.json updates/*.update.safetensors losses/*.losses.json',
    'oneround diagnose plan.json --client north --data north.jsonl --base models/base --aggregate adapter --out north.losses.json',
    'oneround diagnose --calibrate --federations 60 --out run/calibration',
  ]).action(async (what: string[], flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      if (flags.calibrate === true) return calibrateCommand(flags, job)
      const [first] = what
      if (first === undefined) throw usage('nothing to diagnose')
      if (statSync(first, { throwIfNoEntry: false })?.isDirectory() === true) return ofRuns(what, flags, job)
      const plan = await readPlan(first)
      if (flags.client !== undefined) return ofClient(plan, what.slice(1), flags, job)
      return ofUpdates(plan, what.slice(1), flags, job)
    }),
  )
}

async function ofRuns(runs: string[], flags: Flags, job: Job): Promise<Result> {
  const common = commonOf(flags, job)
  if (flags.base === undefined) {
    if (flags.data !== undefined) throw usage('the data of a run without --base')
    return finish(await diagnose({ ...common, run: runs }), flags, runs[0])
  }
  await using base = await openBase(flags.base, job.options)
  if (flags.data === undefined) return finish(await diagnose({ ...common, run: runs, base }), flags, runs[0])
  const plan = await readPlan(join(runs[0] ?? '', 'plan.json'))
  const by = splitOf(flags)
  const { signal } = job.options
  const all = await loadPlanData({ ...flags, data: flags.data }, plan, base, {
    signal,
    keep: fieldsOf(by, flags.label),
  })
  const clients = divide(
    all,
    by,
    plan.clients.map(({ name }) => name),
    plan.train.seed,
  )
  return finish(await diagnose({ ...common, run: runs, base, clients }), flags, runs[0])
}

async function ofClient(plan: Plan, more: string[], flags: Flags, job: Job): Promise<Result> {
  const client = flags.client ?? ''
  if (more.length > 0) throw usage(`${more.length} further files with --client`)
  if (flags.data === undefined) throw usage('--client without --data')
  checkClient(plan, client)
  await using base = await openBase(baseOf(flags.base), job.options)
  const { signal } = job.options
  const data = await loadPlanData({ ...flags, data: flags.data }, plan, base, { signal })
  if (flags.aggregate === undefined) return finish(await diagnose({ ...commonOf(flags, job), plan, base, data }), flags)
  if (flags.out === undefined) throw usage('--aggregate without --out')
  const message = await makeLosses(base, data, plan, await loadAdapter(flags.aggregate), { ...job.options, client })
  await writeLosses(flags.out, message)
  const told = message.losses.map(({ lambda, loss }) => `lambda ${lambda}: ${loss.toFixed(4)}`).join('\n')
  return { json: message, text: `${told}\nwritten to ${flags.out}: all of it is what the host gets` }
}

async function ofUpdates(plan: Plan, files: string[], flags: Flags, job: Job): Promise<Result> {
  const losses = files.filter((file) => file.endsWith('.losses.json'))
  const updates = files.filter((file) => !file.endsWith('.losses.json'))
  if (updates.length === 0) throw usage('a plan without update files and without --client')
  const aggregate =
    flags.aggregate === undefined ? {} : { aggregateSha256: adapterSha256(await loadAdapter(flags.aggregate)) }
  const options = { ...commonOf(flags, job), plan, updates, losses, ...aggregate }
  if (flags.base === undefined) return finish(await diagnose(options), flags)
  await using base = await openBase(flags.base, job.options)
  return finish(await diagnose({ ...options, base }), flags)
}

function commonOf(flags: Flags, job: Job): Pick<DiagnoseOptions, 'margin' | 'budget' | 'links'> & Job['options'] {
  return {
    ...job.options,
    ...(flags.margin === undefined ? {} : { margin: { share: flags.margin } }),
    ...(flags.budget === undefined ? {} : { budget: flags.budget }),
    links: {
      upMbit: flags.up ?? USUAL_LINKS.upMbit,
      downMbit: flags.down ?? USUAL_LINKS.downMbit,
      spread: flags.spread ?? USUAL_LINKS.spread,
    },
  }
}

/** With a run the diagnosis is kept in its folder too: the report reads it there. */
export async function finish(d: Diagnosis, flags: { out?: string }, run?: string): Promise<Result> {
  const text = `${JSON.stringify(d, undefined, 2)}\n`
  if (run !== undefined) await writeAtomic(join(run, 'diagnosis.json'), text)
  if (flags.out !== undefined) await writeAtomic(flags.out, text)
  return { json: d, text: storyOf(d, run === undefined ? undefined : await readValued(run)) }
}

function usage(found: string): OneroundError {
  return new OneroundError('ARGUMENT', 'A diagnosis needs one kind of evidence', {
    found,
    expected: 'run folders; a plan and update files; or a plan with --client, --data and --base',
    fix: 'See oneround diagnose --help for one line of each.',
  })
}
