/** What aggregate ends with, for programs and for people. */
import type { Adapter } from '../adapter/adapter.js'
import type { Aggregate } from '../aggregate/aggregator.js'
import type { ClosedFiles } from '../federation/by-file/close.js'
import { shorten } from '../report/escape.js'
import { textTable } from '../report/table.js'
import type { Plan } from '../update/plan.js'
import type { Result } from './job.js'

/** A round that was closed, or a server's step. */
export function closedResult(closed: ClosedFiles, plan: Plan, out: string): Result {
  if (closed.last) return { json: told(closed.served, out), text: servedText(closed.served, out) }
  const { round, exact } = closed
  const isStep = plan.strategy?.name === 'fedbuff'
  const json = { adapter: out, ...(isStep ? { version: round } : { round, rounds: plan.rounds }) }
  const text = isStep
    ? `version ${round} of the server, ${rankText(exact)}\nwritten to ${out}: clients that begin now start from it (train --start ${out})`
    : `exact aggregate of round ${round} of ${plan.rounds}, ${rankText(exact)}\nwritten to ${out}: the next round starts from it (--round ${round + 1} --start ${out})`
  return { json: { ...json, rank: ranks(exact.layers), relativeError: 0 }, text }
}

export function told({ method, weights, relativeError, layers, adapter }: Aggregate, out: string): object {
  return { adapter: out, method, weights, rank: ranks(adapter.layers), relativeError, layers }
}

export function servedText(result: Aggregate, out: string): string {
  const rows = Object.entries(result.weights).map(([name, weight]) => [shorten(name, 64), weight.toFixed(4)])
  return [
    `${result.method}: ${rankText(result.adapter)}, relative error ${result.relativeError.toExponential(1)}`,
    textTable(['client', 'weight'], rows),
    ...(result.method === 'stack' ? [stackWarning] : []),
    `adapter written to ${out}`,
  ].join('\n')
}

function ranks(layers: readonly { rank: number }[]): { least: number; most: number } {
  const all = layers.map((layer) => layer.rank)
  return all.length === 0 ? { least: 0, most: 0 } : { least: Math.min(...all), most: Math.max(...all) }
}

function rankText({ layers, dense }: Adapter): string {
  const { least, most } = ranks(layers)
  const factors = layers.length === 0 ? [] : [`rank ${least === most ? most : `${least} to ${most}`}`]
  return [...factors, ...(dense.length === 0 ? [] : [`dense deltas of ${dense.length} tensors`])].join(', ')
}

/** Said before anyone publishes such an adapter. */
const stackWarning =
  "A stacked adapter holds every client's factors verbatim: whoever gets it gets each client's update, not only the sum."

/** A state is as good as the updates in it. */
export const stateWarning = 'it holds what clients sent, alone or summed, and is as confidential as their updates'
