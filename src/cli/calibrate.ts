import { execFileSync } from 'node:child_process'
import { calibrate } from '../diagnose/calibrate/calibrate.js'
import type { FederationRecord } from '../diagnose/calibrate/federation.js'
import { textTable } from '../report/table.js'
import { embeddedBase } from './base.js'
import type { Job, Result } from './job.js'

/** `diagnose --calibrate`: made again from its seed; what is finished in the folder is not redone. */
export async function calibrateCommand(
  flags: { out?: string; federations: number; seed: number; base?: string },
  job: Job,
): Promise<Result> {
  const folder = flags.out ?? 'run/calibration'
  const { calibration, records } = await calibrate({
    ...job.options,
    source: flags.base ?? embeddedBase(),
    folder,
    federations: flags.federations,
    seed: flags.seed,
    commit: commitOf(),
    onRecord: (record) => job.note(told(record)),
  })
  const value = (x: number | null) => (x === null ? '–' : x.toFixed(2))
  const rows = calibration.rules.map(({ evidence, evaluation: e }) => [
    evidence,
    String(e.federations),
    String(e.decided),
    String(e.spoke),
    value(e.precision),
    value(e.recall),
    value(e.brier),
    value(e.alwaysSuffices.precision),
    value(e.tauOnly.precision),
  ])
  const heading = ['evidence', 'unseen', 'decided', 'spoke', 'precision', 'recall', 'Brier', 'always', 'tau only']
  const text = [
    `${records.length} federations, half of them unseen by the fit; rules written to ${folder}/calibration.json`,
    textTable(heading, rows),
  ]
  return { json: calibration, text: text.join('\n') }
}

function told({ spec, truth, seconds, comparison }: FederationRecord): string {
  const numbers =
    comparison === null
      ? ''
      : `, ${comparison.difference.toPrecision(2)} against a margin of ${comparison.margin.toPrecision(2)}`
  return `${spec.index}: ${spec.clients} clients, ${spec.skew}, ${spec.horizon} epochs at ${spec.learningRate}, ${spec.pretrained ? 'pretrained' : 'random'}: ${truth}${numbers} (${seconds.toFixed(0)} s)`
}

/** Of the source that ran, where it is a clone; a package has none. */
function commitOf(): string {
  try {
    const folder = new URL('.', import.meta.url).pathname
    return execFileSync('git', ['-C', folder, 'rev-parse', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}
