/** simulate with --seeds or --learning-rates: many runs, one answer. */
import type { Command } from 'commander'
import type { Dataset } from '../data/dataset.js'
import { type Replicate, type ReplicateOptions, replicate } from '../diagnose/replicate.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { writeReport } from '../report/report.js'
import type { Plan } from '../update/plan.js'
import { finish } from './diagnose.js'
import type { Job, Result } from './job.js'
import { count, number, numbers } from './options.js'

export interface ReplicateFlags {
  seeds?: number
  learningRates?: number[]
  margin?: number
}

export function withReplicateFlags(command: Command): Command {
  return command
    .option(
      '--seeds <n>',
      'simulate that many seeds on the same clients, each in a run folder of its own in RUN, and say whether one round is enough (default with --learning-rates: 3, the fewest that a verdict takes)',
      count,
    )
    .option(
      '--learning-rates <list>',
      'other learning rates to try, each under every seed: one round and several each at its own best',
      numbers,
    )
    .option(
      '--margin <share>',
      'with --seeds: share of the gain over base that one round may cost (default: 0.02)',
      number,
    )
}

export function isReplicated({ seeds, learningRates, margin }: ReplicateFlags): boolean {
  if (seeds !== undefined || learningRates !== undefined) return true
  if (margin === undefined) return false
  throw new OneroundError('ARGUMENT', '--margin is for a verdict, and one seed gives none.', {
    found: '--margin without --seeds',
    expected: 'both or neither',
    fix: 'Add --seeds 3, or give the margin to oneround diagnose later.',
  })
}

/** The diagnosis and the report with it are in the first run's folder. */
export async function replicated(
  { base, clients, plan }: { base: Model; clients: Record<string, Dataset>; plan: Plan },
  how: ReplicateOptions,
  { seeds, learningRates, margin }: ReplicateFlags,
  job: Job,
): Promise<Result> {
  const { runs, diagnosis } = await replicate(base, clients, plan, {
    ...how,
    ...(seeds === undefined ? {} : { seeds }),
    ...(learningRates === undefined ? {} : { learningRates }),
    ...(margin === undefined ? {} : { margin: { share: margin } }),
    onRun: (run) => job.note(lineOf(run)),
  })
  const first = runs[0]?.folder ?? how.folder
  const { text } = await finish(diagnosis, {}, first)
  const report = await writeReport(first)
  const folders = runs.map(({ folder }) => folder)
  return {
    json: { runs: folders, report, diagnosis },
    text: `${text.trimEnd()}\n\n${folders.length} run folders in ${how.folder}; report with this answer: ${report}`,
  }
}

function lineOf({ folder, seed, learningRate, index, count: of }: Replicate): string {
  return `run ${index} of ${of}: seed ${seed}, learning rate ${learningRate}, in ${folder}`
}
