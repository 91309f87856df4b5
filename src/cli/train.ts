import type { Command } from 'commander'
import { readStart } from '../federation/by-file/start-folder.js'
import { visit } from '../federation/by-file/visit.js'
import { formatBytes, formatCount } from '../report/numbers.js'
import { environment } from '../run/environment.js'
import { computeOf } from '../train/compute.js'
import type { EvaluationRecord } from '../train/evaluations.js'
import { saveStatistic } from '../train/measure.js'
import { describeMemory } from '../train/memory.js'
import { checkStatistic } from '../train/statistic.js'
import { describeControl, describeLeaving, describeStatistic, type LeavingField } from '../update/describe.js'
import { type Plan, planSha256, readPlan } from '../update/plan.js'
import { makeReceipt, receiptFile, writeReceipt } from '../update/receipt.js'
import { STATISTICS, type StatisticKind } from '../update/statistic.js'
import { baseOf, openBase } from './base.js'
import { tellFields } from './inspect.js'
import { runJob } from './job.js'
import { type CommonFlags, choice, count, withCommon } from './options.js'
import { checkClient } from './plan.js'
import { loadPlanData } from './plan-data.js'
import { withFileFlags } from './plan-flags.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags {
  client: string
  data: string[]
  columns?: string[]
  base?: string
  round: number
  start?: string
  last?: string
  resume?: true
  recompute?: true
  statistic?: StatisticKind
  dryRun?: true
  out: string
}

export function addTrain(program: Command, terminal: Terminal): void {
  const command = program
    .command('train')
    .description("one client's part: its data to one update file, the only thing that leaves it")
    .argument('<plan>', 'the plan')
    .requiredOption('--client <name>', "this client's name in the plan")
    .requiredOption('--data <files...>', "this client's data: JSON Lines, JSON, CSV, TSV or text")
    .option('--base <path>', 'the base model; its digest is checked against the plan')
    .option('--round <n>', "the round; of fedbuff this client's visit", count, 1)
    .option(
      '--start <adapter>',
      'from round 2: the folder that the server made of the round before; of fedbuff its newest',
    )
    .option(
      '--last <update>',
      "from round 2, where clients keep something (scaffold, --optimizer-state kept): this client's last update file, beside which it lies; none: its first round",
    )
    .option('--recompute', 'less memory for activations, one more forward pass a step; the same result')
    .option('--resume', 'go on from the checkpoint that an earlier call left beside --out')
    .option(
      '--statistic <name>',
      'measure it too, in a second file that may leave: fisher or regmean, for aggregate --method',
      choice(...STATISTICS),
    )
    .option('--dry-run', 'train nothing; list every field that would leave, with its meaning')
    .requiredOption('--out <file>', 'the update; receipt and checkpoint are written beside it')
  withCommon(withFileFlags(command), [
    'oneround train plan.json --client north --data north.jsonl --base models/base --out north.update.safetensors',
    'oneround train plan.json --client north --data north.jsonl --out north.update.safetensors --dry-run',
    'oneround train plan.json --client north --data north.jsonl --base models/base --out north.update.safetensors --resume',
    'oneround train plan.json --client north --data north.jsonl --base models/base --statistic fisher --out north.update.safetensors',
    'oneround train plan.json --client north --data north.jsonl --base models/base --round 2 --start round1/ --out north.2.update.safetensors',
    'oneround train scaffold.json --client north --data north.jsonl --base models/base --round 2 --start round1/ --last north.1.update.safetensors --out north.2.update.safetensors',
  ]).action(async (file: string, flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      const plan = await readPlan(file)
      checkClient(plan, flags.client)
      if (flags.statistic !== undefined) checkStatistic(flags.statistic, plan, flags.round)
      if (flags.dryRun === true) {
        const leaves = await leaving(plan, flags)
        const text = [
          ...tellFields(leaves),
          '',
          `This is all that would leave, in ${flags.out}; nothing was trained and nothing written.`,
        ]
        return { json: { trained: false, leaves }, text: text.join('\n') }
      }
      await using base = await openBase(baseOf(flags.base), job.options)
      const data = await loadPlanData(flags, plan, base, { signal: terminal.signal })
      job.note(
        `${formatCount(data.count)} examples, ${formatCount(data.tokens)} trained tokens, ${formatCount(data.cut)} cut at ${plan.data.cutoff}`,
      )
      const evaluations: EvaluationRecord[] = []
      const { update, start, save } = await visit(base, data, plan, {
        ...job.options,
        client: flags.client,
        round: flags.round,
        start: flags.start,
        last: flags.last,
        checkpoint: `${flags.out}.checkpoint`,
        resume: flags.resume === true,
        ...(flags.recompute === true ? { recompute: true } : {}),
        onEvaluation: (record) => {
          evaluations.push(record)
          job.note(
            `step ${record.step}: held-out loss ${record.loss.toFixed(4)}${record.best ? ', the best so far' : ''}`,
          )
        },
        onMemory: (notice) => job.note(describeMemory(notice)),
      })
      const saved = await save(flags.out)
      const { control, keeps } = saved
      const statistic =
        flags.statistic &&
        (await saveStatistic(
          flags.statistic,
          base,
          data,
          plan,
          { update, file: flags.out, ...saved },
          { ...job.options, start: start.exact },
        ))
      const receipt = receiptFile(flags.out)
      const settings = { isa: environment().isa, compute: computeOf(plan.train.compute) }
      await writeReceipt(
        receipt,
        makeReceipt({ update, saved, statistic, control, plan, data: data.files, evaluations, settings }),
      )
      return {
        json: { file: flags.out, ...saved, info: update.info, receipt, ...(statistic && { statistic }) },
        text: [
          `update written to ${flags.out} (${formatBytes(saved.bytes)}, SHA-256 ${saved.sha256})`,
          ...(control ? [`control variate written to ${control.file}: it goes to the server with the update`] : []),
          ...(statistic ? [`statistic written to ${statistic.file} (${formatBytes(statistic.bytes)})`] : []),
          `receipt, which stays here, in ${receipt}`,
          ...(keeps.length === 0 ? [] : [`kept here for the next round (--last ${flags.out}): ${keeps.join(', ')}`]),
        ].join('\n'),
      }
    }),
  )
}

/** Every field of every file that would leave. */
async function leaving(plan: Plan, { client, round, start, statistic }: Flags): Promise<LeavingField[]> {
  const { sha256: startSha256 } = await readStart(start, plan, round)
  const info = { client, planSha256: planSha256(plan), round, startSha256 }
  return [
    ...describeLeaving(plan, { info }),
    ...(plan.strategy?.name === 'scaffold' && round < plan.rounds ? describeControl(plan) : []),
    ...(statistic === undefined ? [] : describeStatistic(plan, statistic)),
  ]
}
