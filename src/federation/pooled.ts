import { order } from '../data/batches.js'
import { type Dataset, type Example, makeDataset } from '../data/dataset.js'
import { mergeSeed } from '../train/seeds.js'
import type { Plan } from '../update/plan.js'
import { horizonOf, planOfArm } from './arms.js'

/** The centralised baseline: all training parts in one place, for the epochs of the whole horizon. */
interface Pooled {
  data: Dataset
  plan: Plan
  /** as `train` takes it */
  orderOf(epoch: number): Int32Array
  /** characters of the training parts: what would have to travel */
  characters: number
}

/**
 * Each client's examples come in that client's own order, epoch by epoch, as in every other arm; whose turn it is is
 * drawn anew each epoch. Nothing of it is held out: the held-out parts are left at the clients and judge all arms.
 */
export function pool(clients: ReadonlyMap<string, Dataset>, plan: Plan): Pooled {
  const examples: Example[] = []
  const parts: { first: number; count: number }[] = []
  for (const name of [...clients.keys()].sort()) {
    const training = clients.get(name)?.heldOut(plan.data.heldOut).train.examples ?? []
    parts.push({ first: examples.length, count: training.length })
    for (const example of training) examples.push(example)
  }
  const { seed } = plan.train
  const owners = new Int32Array(examples.length)
  for (const [index, part] of parts.entries()) owners.fill(index, part.first, part.first + part.count)
  const whole = planOfArm(plan, { rounds: 1, epochs: horizonOf(plan) })
  // Nothing is held out here, so there is nothing to look at while it trains.
  const { evaluateEvery: _, patience: __, ...rest } = whole.train
  // One place has no server and nobody to ask.
  const { strategy: ___, participation: ____, ...central } = whole
  return {
    data: makeDataset(examples),
    plan: { ...central, train: rest, data: { ...whole.data, heldOut: 0 }, clients: [] },
    orderOf(epoch) {
      const turns = order(examples.length, mergeSeed(seed), epoch)
      const own = parts.map((part) => ({ places: order(part.count, seed, epoch), next: 0, first: part.first }))
      return turns.map((turn) => {
        const client = own[owners[turn] ?? 0]
        return client ? client.first + (client.places[client.next++] ?? 0) : 0
      })
    },
    characters: examples.reduce((sum, example) => sum + example.characters, 0),
  }
}
