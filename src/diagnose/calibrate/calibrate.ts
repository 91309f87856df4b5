/** Draws federations, runs each, fits on one half and judges on the other. Goes on where it stopped. */
import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { OneroundError } from '../../errors.js'
import { openModel } from '../../model/open.js'
import { writeAtomic } from '../../run/atomic.js'
import { Clock, checkAborted, type JobOptions } from '../../train/job.js'
import { type Calibration, RULE_EVIDENCE } from '../rule.js'
import { type FederationRecord, runFederation } from './federation.js'
import { makeRule } from './judge-rule.js'
import { drawFederation, SPACE } from './space.js'
import { writeTwin } from './twin.js'

interface CalibrateOptions extends JobOptions {
  /** folder of the embedded base */
  source: string
  /** keeps records.jsonl, the twin and what is unfinished */
  folder: string
  federations: number
  seed: number
  commit: string
  onRecord?: ((record: FederationRecord) => void) | undefined
}

/** Even places are fitted on, odd ones are untouched until the end. */
export async function calibrate(
  o: CalibrateOptions,
): Promise<{ calibration: Calibration; records: FederationRecord[] }> {
  await mkdir(o.folder, { recursive: true })
  const file = join(o.folder, `records-${o.seed}.jsonl`)
  const known = await readRecords(file)
  const { onProgress: _, ...quiet } = o
  const clock = new Clock(known.size)
  await using base = await openModel(o.source)
  const twinFolder = join(o.folder, 'twin')
  await writeTwin(base, o.source, twinFolder)
  await using twin = await openModel(twinFolder)
  for (let index = 0; index < o.federations; index++) {
    checkAborted(o.signal)
    const done = index
    o.onProgress?.({
      phase: 'federations',
      done,
      total: o.federations,
      secondsLeft: clock.secondsLeft(done, o.federations),
    })
    if (known.has(index)) continue
    const spec = drawFederation(o.seed, index)
    const record = await runFederation(
      spec.pretrained ? base : twin,
      spec,
      join(o.folder, `federation-${o.seed}-${index}`),
      quiet,
    )
    await appendFile(file, `${JSON.stringify(record)}\n`)
    known.set(index, record)
    o.onRecord?.(record)
  }
  const records = [...known.values()]
    .filter(({ spec }) => spec.index < o.federations)
    .sort((a, b) => a.spec.index - b.spec.index)
  const calibration = calibrationOf(records, { seed: o.seed, commit: o.commit, base: (await base.id()).sha256 })
  await writeAtomic(join(o.folder, 'calibration.json'), `${JSON.stringify(calibration, undefined, 2)}\n`)
  return { calibration, records }
}

export function calibrationOf(
  records: readonly FederationRecord[],
  o: { seed: number; commit: string; base: string },
): Calibration {
  const half = (rest: number) => records.filter(({ spec }) => spec.index % 2 === rest)
  return {
    version: 1,
    rules: RULE_EVIDENCE.flatMap((evidence) => makeRule(evidence, half(0), half(1)) ?? []),
    provenance: {
      ...o,
      federations: records.length,
      space: JSON.parse(JSON.stringify(SPACE)) as Record<string, never>,
    },
  }
}

async function readRecords(file: string): Promise<Map<number, FederationRecord>> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch {
    return new Map()
  }
  // A killed process may leave a torn last line: that federation is run again.
  const lines = text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
  return new Map(
    lines.map((line, i) => {
      const record = parseLine(line, i, file)
      return [record.spec.index, record]
    }),
  )
}

function parseLine(line: string, i: number, file: string): FederationRecord {
  try {
    return JSON.parse(line) as FederationRecord
  } catch (cause) {
    throw new OneroundError('MALFORMED', `Line ${i + 1} of ${file} is no record.`, {
      fix: 'Take the line out: that federation is then run again.',
      cause,
    })
  }
}
