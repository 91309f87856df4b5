import { join } from 'node:path'
import type { Command } from 'commander'
import type { Dataset } from '../data/dataset.js'
import { loadExamples } from '../data/load.js'
import { sizes } from '../data/sizes.js'
import { OneroundError } from '../errors.js'
import type { ArmName } from '../federation/arms.js'
import { simulate } from '../federation/simulate.js'
import { openModel } from '../model/open.js'
import { shorten } from '../report/escape.js'
import { formatCount } from '../report/numbers.js'
import { describeClosing } from '../report/page.js'
import { reading } from '../report/reading.js'
import { writeReport } from '../report/report.js'
import { readReport } from '../report/run.js'
import { armsTable, paragraph, textTable } from '../report/table.js'
import { createPlan } from '../update/create-plan.js'
import { readPlan } from '../update/plan.js'
import { baseOf } from './base.js'
import { type Result, runJob } from './job.js'
import { type CommonFlags, list, withCommon } from './options.js'
import { type PlanFlags, planOptions, refuseBesidePlan, withPlanFlags } from './planFlags.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags, PlanFlags {
  base?: string
  data: string[]
  split?: string
  compare?: ArmName[]
  resume?: true
  out: string
}

export function addSimulate(program: Command, terminal: Terminal): void {
  const command = program
    .command('simulate')
    .description('a whole federation on this machine, beside the arms it is compared with')
    .argument('[plan]', "a plan; without one, --base and the plan's flags")
    .option('--base <path>', 'the base model; its digest is checked against the plan')
    .requiredOption('--data <paths...>', 'files, or folders of files: JSON Lines or text')
    .option('--split <rule>', 'clients: file (default for several files), iid, or field:NAME')
    .option('--clients <list>', 'names of the clients; for iid also a number', list)
    .option(
      '--compare <list>',
      "arms: base, client, RxE (rounds x local epochs), pooled (default: these at the plan's horizon)",
      compareList,
    )
    .option('--resume', 'go on in a run folder; nothing finished is redone')
    .requiredOption('--out <run>', 'the run folder')
  withCommon(withPlanFlags(command), [
    'oneround simulate --base models/base --data clients/ --out run/first',
    'oneround simulate --base models/base --data all.jsonl --split iid --clients 10 --compare base,1x3,3x1,pooled --out run/iid',
    'oneround simulate --base model.gguf --data all.jsonl --split field:speaker --rank 8 --learning-rate 1e-3 --out run/speakers',
    'oneround simulate plan.json --base models/base --data north.jsonl south.jsonl --out run/first --resume',
  ]).action(async (file: string | undefined, flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      if (file !== undefined) refuseBesidePlan(flags)
      const agreed = file === undefined ? undefined : await readPlan(file)
      const options = agreed === undefined ? await planOptions(flags) : undefined
      await using base = await openModel(baseOf(flags.base))
      const names = agreed === undefined ? options?.clients : agreed.clients.map((client) => client.name)
      const rules = agreed ?? (await createPlan(base, { ...options, clients: [] }))
      const { template, cutoff, lossOn } = rules.data
      const all = await loadExamples(flags.data, {
        template,
        cutoff,
        lossOn,
        tokenizer: base.tokenizer,
        signal: terminal.signal,
      })
      const clients = divide(all, flags.split, names, rules.train.seed)
      const plan = agreed ?? (await createPlan(base, { ...options, clients: Object.keys(clients) }))
      job.note(sizesTable(clients))
      const folder = flags.out
      await simulate(base, clients, plan, {
        ...job.options,
        ...(flags.compare === undefined ? {} : { compare: flags.compare }),
        folder,
        resume: flags.resume === true,
      })
      return comparison(folder)
    }),
  )
}

/** What simulate and demo end with, read back from the run folder: what is shown is what is kept. */
export async function comparison(folder: string): Promise<Result> {
  const report = await writeReport(folder)
  const { arms, closings, plan } = await readReport(folder)
  const sentence = reading(arms)
  const adapters = closings.map((closing) => `adapter of ${closing.arm}: ${describeClosing(closing)}`)
  const files = `Run folder ${folder}, adapter ${join(folder, 'adapter')}, report ${report}`
  const text = [armsTable(arms), adapters.join('\n'), paragraph(sentence), files]
    .filter((part) => part !== '')
    .join('\n\n')
  return { json: { run: folder, report, start: plan.start, reading: sentence, adapters: closings, arms }, text }
}

/** Who holds how much, before anything trains. */
export function sizesTable(clients: Record<string, Dataset>): string {
  const rows = sizes(clients).map((size) => [
    shorten(size.client, 40),
    formatCount(size.examples),
    formatCount(size.tokens),
    formatCount(size.cut),
    `${(size.share * 100).toFixed(1)} %`,
  ])
  return textTable(['client', 'examples', 'trained tokens', 'cut', 'share'], rows)
}

/** The clients' parts. With iid, given names are dealt out in their order; otherwise the data names the clients. */
function divide(
  all: Dataset,
  split: string | undefined,
  names: readonly string[] | undefined,
  seed: number,
): Record<string, Dataset> {
  const by = split ?? (all.files.length > 1 ? 'file' : undefined)
  if (by === undefined) {
    throw new OneroundError('ARGUMENT', 'One file of data, and no rule that makes clients of it', {
      found: 'no --split',
      expected: 'iid, file or field:NAME, or a file for each client',
      fix: 'Add, for example, --split iid --clients 10.',
    })
  }
  const given = names?.length === 0 ? undefined : names
  if (by !== 'iid') {
    const parts = all.split(by, { seed })
    if (given !== undefined) checkNames(given, Object.keys(parts))
    return parts
  }
  const only = given?.length === 1 && /^[0-9]+$/.test(given[0] ?? '') ? Number(given[0]) : undefined
  const count = only ?? given?.length
  const parts = Object.entries(all.split(by, { ...(count === undefined ? {} : { clients: count }), seed }))
  if (only !== undefined || given === undefined) return Object.fromEntries(parts)
  return Object.fromEntries(parts.map(([name, data], at) => [given[at] ?? name, data]))
}

function checkNames(given: readonly string[], found: readonly string[]): void {
  const missing = given.filter((name) => !found.includes(name))
  const extra = found.filter((name) => !given.includes(name))
  if (missing.length === 0 && extra.length === 0) return
  throw new OneroundError('MISMATCH', 'The data does not hold the clients that were named', {
    found: found.join(', '),
    expected: given.join(', '),
    fix: 'Name the clients as the data does (files by their names without ending), or leave --clients out.',
  })
}

/** Words as given; simulate itself says which arms there are. */
function compareList(text: string): ArmName[] {
  return list(text) as ArmName[]
}
