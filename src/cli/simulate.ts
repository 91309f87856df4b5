import { join } from 'node:path'
import type { Command } from 'commander'
import type { Dataset } from '../data/dataset.js'
import { countRepeats, dropRepeats, type Repeats } from '../data/repeats.js'
import { bar, labelShares, lengthHistogram } from '../data/shares.js'
import { sizes } from '../data/sizes.js'
import type { ArmName } from '../federation/arms.js'
import type { Conditions } from '../federation/participation.js'
import { simulate } from '../federation/simulate.js'
import { describeClosing } from '../report/data.js'
import { shorten } from '../report/escape.js'
import { formatCount } from '../report/numbers.js'
import { reading } from '../report/reading.js'
import { writeReport } from '../report/report.js'
import { readReport } from '../report/run.js'
import { armsTable, paragraph, textTable } from '../report/table.js'
import { createPlan } from '../update/create-plan.js'
import { readPlan } from '../update/plan.js'
import { baseOf, openBase } from './base.js'
import { divide, fieldsOf, splitOf } from './clients.js'
import { type Result, runJob } from './job.js'
import { type CommonFlags, list, number, withCommon } from './options.js'
import { loadPlanData } from './plan-data.js'
import { type PlanFlags, planOptions, refuseBesidePlan, withFileFlags, withPlanFlags } from './plan-flags.js'
import { isReplicated, type ReplicateFlags, replicated, withReplicateFlags } from './replicate.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags, PlanFlags, ReplicateFlags {
  base?: string
  data: string[]
  split?: string
  label?: string
  columns?: string[]
  deduplicate?: true
  compare?: ArmName[]
  clientDropout?: number
  durationSpread?: number
  deadline?: number
  resume?: true
  recompute?: true
  out: string
}

export function addSimulate(program: Command, terminal: Terminal): void {
  const command = program
    .command('simulate')
    .description('a whole federation on this machine, beside the arms it is compared with')
    .argument('[plan]', "a plan; without one, --base and the plan's flags")
    .option('--base <path>', 'the base model; its digest is checked against the plan')
    .requiredOption('--data <paths...>', 'files, or folders of files: JSON Lines, JSON, CSV, TSV or text')
    .option(
      '--split <rule>',
      'clients: file (default for several files), field:NAME, iid, dirichlet:ALPHA (label skew), quantity:S (size skew)',
    )
    .option(
      '--label <field>',
      'the field of the label: dirichlet splits by it, and the shares of each client are shown',
    )
    .option('--clients <list>', 'names of the clients; for iid, dirichlet and quantity also a number', list)
    .option('--deduplicate', 'drop held-out rows that some client trains on; without it they are counted')
    .option(
      '--compare <list>',
      "arms: base, client, RxE (rounds x local epochs), pooled (default: these at the plan's horizon); words behind RxE change the plan for that arm: a strategy, fresh or carried, shared-object-leak (an ablation), e.g. 3x1:fedadam:fresh",
      compareList,
    )
    .option('--client-dropout <x>', 'chance that a client that was asked sends nothing', number)
    .option(
      '--duration-spread <x>',
      'how unequally fast clients are: deviation of the log of their time; 0: all alike',
      number,
    )
    .option('--deadline <x>', 'when a round closes, in times of the median client: who is later is left out', number)
    .option('--recompute', 'less memory for activations, one more forward pass a step; the same result')
    .option('--resume', 'go on in a run folder; nothing finished is redone')
    .requiredOption('--out <run>', 'the run folder')
  withCommon(withPlanFlags(withFileFlags(withReplicateFlags(command))), [
    'oneround simulate --base models/base --data clients/ --out run/first',
    'oneround simulate --base models/base --data all.jsonl --split iid --clients 10 --compare base,1x3,3x1,pooled --out run/iid',
    'oneround simulate --base models/base --data all.csv --split dirichlet:0.5 --label topic --clients 10 --out run/skewed',
    'oneround simulate --base model.gguf --data all.jsonl --split field:speaker --rank 8 --learning-rate 1e-3 --out run/speakers',
    'oneround simulate --base models/base --data clients/ --rounds 3 --epochs 1 --compare 1x3,3x1,3x1:fedadam,3x1:diloco --out run/strategies',
    'oneround simulate --base models/base --data clients/ --rounds 5 --epochs 1 --fraction 0.3 --minimum-clients 2 --client-dropout 0.2 --out run/partial',
    'oneround simulate --base models/base --data clients/ --seeds 3 --learning-rates 3e-4,1e-3 --out run/verdict',
    'oneround simulate plan.json --base models/base --data north.jsonl south.jsonl --out run/first --resume',
  ]).action(async (file: string | undefined, flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      if (file !== undefined) refuseBesidePlan(flags)
      const isMany = isReplicated(flags)
      const agreed = file === undefined ? undefined : await readPlan(file)
      const options = agreed === undefined ? await planOptions(flags) : undefined
      await using base = await openBase(baseOf(flags.base), job.options)
      const names = agreed === undefined ? options?.clients : agreed.clients.map((client) => client.name)
      const rules = agreed ?? (await createPlan(base, { ...options, clients: [] }))
      const by = splitOf(flags)
      const all = await loadPlanData(flags, rules, base, { signal: terminal.signal, keep: fieldsOf(by, flags.label) })
      const divided = divide(all, by, names, rules.train.seed)
      const { heldOut } = rules.data
      const repeats = countRepeats(divided, heldOut)
      const clients = flags.deduplicate === true ? dropRepeats(divided, heldOut) : divided
      const plan = agreed ?? (await createPlan(base, { ...options, clients: Object.keys(clients) }))
      job.note(sizesTable(clients, repeats))
      job.note(spread(clients, flags.label))
      const told = repeatsSentence(repeats, flags.deduplicate === true)
      if (told !== '') job.note(told)
      const folder = flags.out
      const how = {
        ...job.options,
        ...(flags.compare === undefined ? {} : { compare: flags.compare }),
        folder,
        conditions: conditionsOf(flags),
        resume: flags.resume === true,
        ...(flags.recompute === true ? { recompute: true } : {}),
      }
      if (isMany) return await replicated({ base, clients, plan }, how, flags, job)
      await simulate(base, clients, plan, how)
      const { json, text } = await comparison(folder)
      const labels = flags.label === undefined ? {} : { labels: labelShares(clients, flags.label) }
      const data = { sizes: sizes(clients), lengths: lengthHistogram(clients), ...labels, repeats }
      return { json: { ...json, data: { ...data, deduplicated: flags.deduplicate === true } }, text }
    }),
  )
}

/** What the simulated clients are put through; what is not given does not happen. */
function conditionsOf({ clientDropout, durationSpread, deadline }: Flags): Partial<Conditions> {
  return {
    ...(clientDropout === undefined ? {} : { clientDropout }),
    ...(durationSpread === undefined ? {} : { durationSpread }),
    ...(deadline === undefined ? {} : { deadline }),
  }
}

/** What simulate and demo end with, read back from the run folder: what is shown is what is kept. */
export async function comparison(folder: string): Promise<Result & { json: object }> {
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
export function sizesTable(clients: Record<string, Dataset>, repeats: readonly Repeats[] = []): string {
  const rows = sizes(clients)
  const largest = Math.max(...rows.map(({ tokens }) => tokens))
  const repeated = repeats.some((row) => row.repeated > 0) ? ['held out, repeated'] : []
  return textTable(
    ['client', 'examples', 'trained tokens', 'cut', 'share', ...repeated, ''],
    rows.map((size, i) => [
      shorten(size.client, 40),
      formatCount(size.examples),
      formatCount(size.tokens),
      formatCount(size.cut),
      `${(size.share * 100).toFixed(1)} %`,
      ...repeated.map(() => formatCount(repeats[i]?.repeated ?? 0)),
      bar(size.tokens, largest, 16),
    ]),
  )
}

/** How long the examples are, and with a label what each client holds of it. */
function spread(clients: Record<string, Dataset>, label: string | undefined): string {
  const bins = lengthHistogram(clients)
  const most = Math.max(...bins.map(({ examples }) => examples))
  const lengths = textTable(
    ['tokens', 'examples', ''],
    bins.map(({ from, to, examples }) => [`${from}-${to}`, formatCount(examples), bar(examples, most)]),
  )
  if (label === undefined) return lengths
  const shares = labelShares(clients, label)
  const table = textTable(
    [shorten(label, 40), ...shares.labels.map((name) => shorten(name, 16)), 'distance'],
    shares.clients.map(({ client, examples, counts, distance }) => [
      shorten(client, 40),
      ...counts.map((count) => `${((count / examples) * 100).toFixed(0)} %`),
      distance.toFixed(2),
    ]),
  )
  return `${lengths}\n\n${table}`
}

function repeatsSentence(repeats: readonly Repeats[], dropped: boolean): string {
  const count = repeats.reduce((sum, { repeated }) => sum + repeated, 0)
  if (count === 0) return ''
  const all = repeats.reduce((sum, { heldOut }) => sum + heldOut, 0)
  const what = `${formatCount(count)} of ${formatCount(all)} held-out examples are also trained on`
  return dropped ? `${what}; they were dropped.` : `${what}, which flatters every arm; --deduplicate drops them.`
}

/** Words as given; simulate itself says which arms there are. */
function compareList(text: string): ArmName[] {
  return list(text) as ArmName[]
}
