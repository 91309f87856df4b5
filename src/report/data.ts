import type { Diagnosis } from '../diagnose/types.js'
import type { Arm } from '../federation/arms.js'
import type { Plan } from '../update/plan.js'
import type { Curve } from './figures/curves.js'
import type { Valued } from './valued.js'

/** How an arm's last round was closed. */
export interface Closing {
  arm: string
  method: string
  /** of the adapter's layers */
  ranks: number[]
  /** of the adapter against the exact sum, Frobenius, over all layers */
  relativeError: number
}

/** Everything that a report tells. */
export interface ReportData {
  plan: Plan
  planSha256: string
  arms: readonly Arm[]
  curves: readonly Curve[]
  closings: readonly Closing[]
  /** what `oneround diagnose` found for this run */
  diagnosis?: Diagnosis | undefined
  /** what `oneround value` found for one of its arms */
  valued?: Valued | undefined
  environment: Record<string, unknown>
  /** UTC, of the last event */
  time?: string | undefined
}

/** `svd, rank 12 to 31, relative error 8.1e-4` */
export function describeClosing({ method, ranks, relativeError }: Closing): string {
  if (ranks.length === 0) return `${method}, dense deltas, relative error ${relativeError.toExponential(1)}`
  const least = Math.min(...ranks)
  const most = Math.max(...ranks)
  return `${method}, rank ${least === most ? most : `${least} to ${most}`}, relative error ${relativeError.toExponential(1)}`
}
