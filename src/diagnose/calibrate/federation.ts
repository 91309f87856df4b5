/** One small federation: its truth by simulation, and the features that each kind of evidence would have had of it. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Dataset, type Example, makeDataset, UNTRAINED } from '../../data/dataset.js'
import { presidents } from '../../data/presidents.js'
import { permutation } from '../../data/random.js'
import { planOfArm } from '../../federation/arms.js'
import { simulate } from '../../federation/simulate.js'
import type { Model } from '../../model/open.js'
import type { JobOptions } from '../../train/job.js'
import { createPlan } from '../../update/create-plan.js'
import type { Plan } from '../../update/plan.js'
import { diagnose } from '../diagnose.js'
import { makeLosses } from '../losses-file.js'
import type { RuleEvidence } from '../rule.js'
import { exactOf, readRunEvidence, updatesOf } from '../run-evidence.js'
import { DIAGNOSE_STREAM } from '../statistics.js'
import { isKnown, type PairedComparison, type VerdictKind } from '../types.js'
import { type FederationSpec, SPACE } from './space.js'

export interface FederationRecord {
  spec: FederationSpec
  truth: VerdictKind
  /** P(difference < margin): what a probability is held against; null where nothing could be compared */
  below: number | null
  comparison: Pick<PairedComparison, 'difference' | 'interval' | 'margin' | 'gain' | 'items'> | null
  features: Record<RuleEvidence, Record<string, number>>
  seconds: number
}

/** A fixed number of excerpts, dealt to the clients as the spec says; the seed of training changes none of it. */
async function dataOf(base: Model, spec: FederationSpec, o: JobOptions = {}): Promise<Record<string, Dataset>> {
  const parts = await presidents(base.tokenizer, { seed: spec.seed, cutoff: SPACE.cutoff, signal: o.signal })
  const names = Object.keys(parts)
  const from = spec.skew === 'natural' ? names.slice(0, spec.clients) : names
  const each = Math.ceil(SPACE.examples / from.length)
  const examples = from.flatMap((president) => {
    const all = [...(parts[president]?.train.examples ?? []), ...(parts[president]?.heldOut.examples ?? [])]
    return all.slice(0, each).map((example) => asTask({ ...example, fields: { president } }, spec.task))
  })
  // Numbered anew: dropout and keys go by it.
  const dataset = makeDataset(examples.map((example, id) => ({ ...example, id })))
  const divided =
    spec.skew === 'natural'
      ? dataset.split('field:president', { seed: spec.seed })
      : dataset.split(spec.skew, { clients: spec.clients, seed: spec.seed })
  return Object.fromEntries(Object.entries(divided).map(([name, data]) => [name, shuffled(data, spec.seed)]))
}

/** The last part is held out: dealt examples lie president by president, so they are mixed first. */
function shuffled(data: Dataset, seed: number): Dataset {
  const places = permutation(data.count, seed, DIAGNOSE_STREAM.federations)
  return makeDataset([...places].map((i) => data.examples[i] as Example))
}

function asTask(example: Example, task: FederationSpec['task']): Example {
  if (task === 'excerpt') return example
  const half = Math.floor(example.labels.length / 2)
  return { ...example, labels: example.labels.map((label, t) => (t < half ? UNTRAINED : label)) }
}

function planOf(base: Model, spec: FederationSpec, clients: readonly string[], seed: number): Promise<Plan> {
  return createPlan(base, {
    clients,
    rounds: 1,
    epochs: spec.horizon,
    rank: spec.rank,
    learningRate: spec.learningRate,
    batch: SPACE.batch,
    cutoff: SPACE.cutoff,
    heldOut: SPACE.heldOut,
    seed,
  })
}

/** Simulates all seeds in `folder`, which may hold part of it, and removes what it wrote at the end. */
export async function runFederation(
  base: Model,
  spec: FederationSpec,
  folder: string,
  o: JobOptions = {},
): Promise<FederationRecord> {
  const began = performance.now()
  const clients = await dataOf(base, spec, o)
  const runs: string[] = []
  const several = `${spec.horizon}x1` as const
  const one = `1x${spec.horizon}` as const
  for (let seed = 0; seed < SPACE.seeds; seed++) {
    const run = join(folder, `seed-${seed}`)
    const plan = await planOf(base, spec, Object.keys(clients), seed)
    await simulate(base, clients, plan, { ...o, folder: run, resume: true, compare: ['base', one, several] })
    runs.push(run)
  }
  const { comparison, verdict } = await diagnose({ run: runs })
  const features = await featuresOfEach(base, clients, runs[0] as string, one, o)
  await rm(folder, { recursive: true, force: true })
  return {
    spec,
    truth: verdict.kind,
    below: isKnown(comparison) && comparison.gain > 0 ? comparison.belowMargin : null,
    comparison: isKnown(comparison)
      ? {
          difference: comparison.difference,
          interval: comparison.interval,
          margin: comparison.margin,
          gain: comparison.gain,
          items: comparison.items,
        }
      : null,
    features,
    seconds: (performance.now() - began) / 1000,
  }
}

async function featuresOfEach(
  base: Model,
  clients: Record<string, Dataset>,
  folder: string,
  one: `1x${number}`,
  o: JobOptions,
): Promise<FederationRecord['features']> {
  const run = await readRunEvidence(folder)
  const plan = planOfArm(run.plan, { rounds: 1, epochs: run.plan.train.epochs * run.plan.rounds })
  const updates = await updatesOf(run, one, 1)
  const aggregate = await exactOf(run, one)
  const losses = []
  for (const client of run.clients)
    losses.push(await makeLosses(base, clients[client] as Dataset, plan, aggregate, { ...o, client }))
  const first = clients[run.clients[0] as string] as Dataset
  const [client, alone, withLosses] = [
    await diagnose({ ...o, plan, base, data: first }),
    await diagnose({ ...o, plan, updates }),
    await diagnose({ ...o, plan, updates, losses }),
  ]
  return { client: client.features, updates: alone.features, losses: withLosses.features }
}
