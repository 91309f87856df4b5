/** Learns what cat takes: a weight for each client and group of layers, by few evaluations and no gradient. */
import { OneroundError } from '../errors.js'

export type LayerWeights = Record<string, Record<string, number>>

interface LearnOptions {
  /** by client: where the search starts */
  start: Readonly<Record<string, number>>
  /** layers that share their weights; default: each group one layer is costly, so give blocks or kinds of layers */
  groups: readonly (readonly string[])[]
  /** first step of a weight; default 0.5 */
  step?: number
  /** most evaluations, the start's included; default 200 */
  evaluations?: number
}

/**
 * Coordinate search: each weight in turn is moved up or down by the step and stays where the loss falls; after a turn
 * without gain the step halves, down to a 32nd of the first. Deterministic. `loss` sees weights by layer and client.
 */
export async function learnLayerWeights(
  loss: (weights: LayerWeights) => Promise<number>,
  o: LearnOptions,
): Promise<{ weights: LayerWeights; loss: number; evaluations: number }> {
  const clients = Object.keys(o.start).sort()
  const first = o.step ?? 0.5
  const most = o.evaluations ?? 200
  if (!(first > 0) || !Number.isSafeInteger(most) || most < 1)
    throw new OneroundError('ARGUMENT', 'The search has no step or no evaluation.', {
      found: `step ${first}, ${most} evaluations`,
      fix: 'Give a step above 0 and at least one evaluation.',
    })
  const values = o.groups.map(() => clients.map((client) => o.start[client] ?? 0))
  let evaluations = 0
  const ask = async () => {
    evaluations++
    return loss(tableOf(o.groups, clients, values))
  }
  let best = await ask()
  for (let step = first; step >= first / 32 && evaluations < most; ) {
    let gained = false
    for (const group of values) {
      for (const index of group.keys()) {
        for (const move of [step, -step]) {
          if (evaluations >= most) break
          const before = group[index] ?? 0
          group[index] = before + move
          const now = await ask()
          if (now < best) {
            best = now
            gained = true
            break
          }
          group[index] = before
        }
      }
    }
    if (!gained) step /= 2
  }
  return { weights: tableOf(o.groups, clients, values), loss: best, evaluations }
}

function tableOf(
  groups: LearnOptions['groups'],
  clients: readonly string[],
  values: readonly number[][],
): LayerWeights {
  return Object.fromEntries(
    groups.flatMap((layers, g) =>
      layers.map((layer) => [layer, Object.fromEntries(clients.map((client, i) => [client, values[g]?.[i] ?? 0]))]),
    ),
  )
}
