/** Four clients of a random base, trained for one round: what their values are made from. */
import { afterAll, beforeAll } from 'vitest'
import { type Dataset, makeDataset } from '../../../src/data/dataset.js'
import { type Start, startOfRound } from '../../../src/train/start.js'
import { train } from '../../../src/train/train.js'
import type { Plan } from '../../../src/update/plan.js'
import type { Update } from '../../../src/update/update.js'
import type { Valuation } from '../../../src/valuation/valuation.js'
import { valueClients } from '../../../src/valuation/value-clients.js'
import { settings, type TinyFederation, tinyFederation } from '../tiny.js'

export const names = ['north', 'east', 'south', 'west']

/** Filled before the tests of the file that asked for it. */
interface TrainedClients {
  tiny: TinyFederation
  /** without client names, so that a test may add clients */
  plan: Plan
  start: Start
  honest: Update[]
  /** all clients' held-out parts */
  text: Dataset
  value(updates: Update[], o?: Parameters<typeof valueClients>[5], data?: Dataset): Promise<Valuation>
}

export function trainedClients(): TrainedClients {
  const trained = {
    value: (updates, o = {}, data = trained.text) =>
      valueClients(trained.tiny.base, trained.plan, trained.start, updates, data, { threads: 2, ...o }),
  } as TrainedClients
  beforeAll(async () => {
    const tiny = await tinyFederation({}, names)
    const plan = await tiny.planOf({ clients: [], weights: 'uniform', epochs: 3 })
    const honest: Update[] = []
    for (const client of names) honest.push(await train(tiny.base, tiny.clients[client]!, plan, { client }))
    Object.assign(trained, { tiny, plan, honest, start: startOfRound(plan, 1, undefined), text: heldOut(tiny.clients) })
  })
  afterAll(() => trained.tiny[Symbol.asyncDispose]())
  return trained
}

function heldOut(clients: Record<string, Dataset>): Dataset {
  return makeDataset(Object.values(clients).flatMap((data) => [...data.heldOut(settings.heldOut).heldOut.examples]))
}

export const of = (valuation: Valuation, client: string) => valuation.clients.find((one) => one.client === client)!
export const valueSum = ({ clients }: Valuation) => clients.reduce((sum, { shapley }) => sum + shapley, 0)
