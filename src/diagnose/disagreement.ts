/** How unlike the clients' gradients are at the base: sum_i p_i ||g_i - g||^2 / ||g||^2. Needs every client's data. */
import type { Dataset, Example } from '../data/dataset.js'
import { rowsOf } from './local-path.js'
import { type Probe, total } from './probe.js'
import type { Disagreement } from './types.js'

/**
 * By sum_i p_i ||g_i||^2 - ||g||^2, which is the same with g = sum_i p_i g_i.
 * @param weights p_i by client, summing to 1
 * @param rowsEach tokens of each client that may be read; the first examples are
 */
export async function measureDisagreement(
  probe: Probe,
  training: ReadonlyMap<string, Dataset>,
  weights: Record<string, number>,
  rowsEach: number,
): Promise<Disagreement> {
  const clients: { client: string; norm: number; examples: number }[] = []
  let squares = 0
  let all = true
  await probe.place()
  for (const [client, data] of training) {
    const examples: Example[] = []
    for (const example of data.examples) {
      if (examples.length > 0 && rowsOf(examples) + example.ids.length > rowsEach) break
      examples.push(example)
    }
    all &&= examples.length === data.examples.length
    const weight = weights[client] ?? 0
    const { gradientNorm } = await probe.gradient(examples)
    squares += weight * gradientNorm ** 2
    await probe.keep(weight, clients.length > 0)
    clients.push({ client, norm: gradientNorm, examples: examples.length })
  }
  const mean = total(await probe.compare()).keptGradient
  return {
    value: Math.max(0, squares - mean) / mean,
    clients: clients.map(({ client, norm, examples }) => ({ client, examples, relativeNorm: norm / Math.sqrt(mean) })),
    examplesEach: all ? 'all' : Math.max(...clients.map(({ examples }) => examples)),
  }
}
