import { join } from 'node:path'
import type { Diagnosis } from '../diagnose/types.js'
import type { Arm } from '../federation/arms.js'
import { readRun } from '../run/folder.js'
import { type MetricEvent, readMetrics } from '../run/metrics.js'
import { readBoundedFile } from '../text/bounded-file.js'
import type { Score } from '../train/score.js'
import { parsePlan, planSha256 } from '../update/plan.js'
import type { Closing, ReportData } from './data.js'
import type { Curve } from './figures/curves.js'
import { valuedOf } from './valued.js'

/** Everything that a report tells, from a run folder alone; a run that is not finished tells what there is. */
export async function readReport(folder: string): Promise<ReportData> {
  const { plan: planText, state, environment, metricsFile } = await readRun(folder)
  const plan = parsePlan(planText, `${folder}/plan.json`)
  const { events } = await readMetrics(metricsFile)
  return {
    plan,
    planSha256: planSha256(plan),
    arms: armsOf(state.results, events),
    curves: curvesOf(events),
    closings: closingsOf(events),
    diagnosis: await diagnosisOf(folder),
    valued: await valuedOf(folder, plan, state),
    environment: isObject(environment) ? environment : {},
    time: events.at(-1)?.time,
  }
}

/** most bytes of a diagnosis.json; layers and examples make it a few megabytes at most */
const MOST_BYTES = 64 * 2 ** 20

/** What `oneround diagnose` left in the folder. Its fields are believed only as far as a page can be made of them (report.ts). */
async function diagnosisOf(folder: string): Promise<Diagnosis | undefined> {
  const file = join(folder, 'diagnosis.json')
  const bytes = await readBoundedFile(file, MOST_BYTES)
  if (bytes === undefined) return undefined
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return isObject(value) && value.version === 1 ? (value as unknown as Diagnosis) : undefined
  } catch {
    return undefined
  }
}

/** Finished arms, in the order that the last start of the run asked for; arms of earlier starts come behind. */
function armsOf(results: Readonly<Record<string, unknown>>, events: readonly MetricEvent[]): Arm[] {
  const compare = events.findLast((event) => event.event === 'run')?.compare
  const asked = Array.isArray(compare) ? compare.map((name) => `arm/${String(name)}`) : []
  const finished = Object.keys(results).filter((key) => key.startsWith('arm/'))
  const keys = [...asked.filter((key) => finished.includes(key)), ...finished.filter((key) => !asked.includes(key))]
  return keys.flatMap((key) => {
    const rows = Object.hasOwn(results, key) ? results[key] : undefined
    return Array.isArray(rows) ? rows.filter(isArm) : []
  })
}

/** Losses by arm and client. A step that was redone after a kill counts once, as it was redone. */
function curvesOf(events: readonly MetricEvent[]): Curve[] {
  const curves = new Map<string, { arm: string; client: string | undefined; points: Map<number, number> }>()
  for (const { event, arm, client, step, loss } of events) {
    if (event !== 'step' || typeof arm !== 'string' || typeof step !== 'number' || typeof loss !== 'number') continue
    const who = typeof client === 'string' ? client : undefined
    const key = JSON.stringify([arm, who])
    const curve = curves.get(key) ?? { arm, client: who, points: new Map<number, number>() }
    curve.points.set(step, loss)
    curves.set(key, curve)
  }
  return [...curves.values()].map(({ arm, client, points }) => ({
    arm,
    client,
    points: [...points].map(([x, y]) => ({ x, y })).sort((a, b) => a.x - b.x),
  }))
}

/** The last closing of every arm: the one whose adapter was judged. */
function closingsOf(events: readonly MetricEvent[]): Closing[] {
  const closings = new Map<string, Closing>()
  for (const { event, arm, method, ranks, relativeError } of events) {
    if (event !== 'aggregate' || typeof arm !== 'string' || typeof method !== 'string') continue
    if (!Array.isArray(ranks) || typeof relativeError !== 'number') continue
    closings.set(arm, { arm, method, ranks: ranks.filter((rank) => typeof rank === 'number'), relativeError })
  }
  return [...closings.values()]
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isScore(value: unknown): value is Score {
  return (
    isObject(value) &&
    typeof value.loss === 'number' &&
    typeof value.perplexity === 'number' &&
    typeof value.tokens === 'number'
  )
}

/** Results come from a file that may be damaged or forged: what is no arm is left out, so that a page can be made. */
function isArm(value: unknown): value is Arm {
  return (
    isObject(value) &&
    typeof value.name === 'string' &&
    (value.client === undefined || typeof value.client === 'string') &&
    isScore(value.overall) &&
    isObject(value.perClient) &&
    Object.values(value.perClient).every(isScore) &&
    [value.bytesUp, value.bytesDown, value.seconds].every((number) => typeof number === 'number' || number === null)
  )
}
