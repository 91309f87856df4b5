/** The demo's clients, as the demo trains them: drawn from the package's addresses, so they are in no file. */
import { type Dataset, makeDataset } from '../data/dataset.js'
import { presidents } from '../data/presidents.js'
import type { Model } from '../model/open.js'

/** Most tokens in an excerpt. */
export const DEMO_CUTOFF = 128

/** Each president's excerpts, the held-out ones last: where the plan's fraction cuts. */
export async function demoClients(base: Model, seed: number, signal: AbortSignal): Promise<Record<string, Dataset>> {
  const parts = await presidents(base.tokenizer, { seed, cutoff: DEMO_CUTOFF, signal })
  return Object.fromEntries(
    Object.entries(parts).map(([name, { train, heldOut }]) => [
      name,
      makeDataset([...train.examples, ...heldOut.examples]),
    ]),
  )
}
