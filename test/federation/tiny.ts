/** A federation that trains in a tenth of a second: a random Llama base of a few thousand parameters, a few short texts a client. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Adapter } from '../../src/adapter/adapter.js'
import type { Dataset } from '../../src/data/dataset.js'
import { loadExamples } from '../../src/data/load.js'
import { type Model, openModel } from '../../src/model/open.js'
import { train } from '../../src/train/train.js'
import { createPlan, type PlanOptions } from '../../src/update/create-plan.js'
import type { Plan } from '../../src/update/plan.js'
import type { Update } from '../../src/update/update.js'
import { writeTinyBase } from '../cli/tiny-base.js'

const texts: Record<string, string> = {
  north: 'snow falls on the pines and the lake is still',
  east: 'the market opens when the ships have come in',
  south: 'sand drifts over the road behind the wells',
  west: 'rain from the sea and green hills without end',
}

export interface TinyFederation extends AsyncDisposable {
  /** removed at the end */
  folder: string
  source: string
  base: Model
  clients: Record<string, Dataset>
  plan: Plan
  /** the same base and data under another plan */
  planOf(o: PlanOptions): Promise<Plan>
}

/** Rows of one client; different clients have different words and different counts. */
export function rowsOf(name: string): { text: string }[] {
  const words = (texts[name] ?? name).split(' ')
  return Array.from({ length: 8 + Object.keys(texts).indexOf(name) }, (_, i) => ({
    text: `${words.slice(i % 4).join(' ')}, ${words.slice(0, 3 + (i % 5)).join(' ')}.`,
  }))
}

export const settings = {
  targets: ['q_proj', 'v_proj', 'down_proj'],
  rank: 3,
  alpha: 6,
  dropout: 0.1,
  epochs: 2,
  batch: 3,
  learningRate: 0.01,
  warmup: 0.1,
  cutoff: 64,
  heldOut: 0.25,
} satisfies PlanOptions

export async function tinyFederation(
  o: PlanOptions = {},
  names: readonly string[] = ['north', 'east', 'south'],
): Promise<TinyFederation> {
  const folder = mkdtempSync(join(tmpdir(), 'oneround-'))
  const source = join(folder, 'base')
  writeTinyBase(source)
  const base = await openModel(source)
  const clients: Record<string, Dataset> = {}
  for (const name of names) {
    clients[name] = await loadExamples(rowsOf(name), {
      template: 'text',
      cutoff: settings.cutoff,
      lossOn: 'all',
      tokenizer: base.tokenizer,
    })
  }
  const planOf = (more: PlanOptions) => createPlan(base, { ...settings, clients: names, ...more })
  return {
    folder,
    source,
    base,
    clients,
    plan: await planOf(o),
    planOf,
    async [Symbol.asyncDispose]() {
      await base.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Every client's update, and what is measured at it. */
export async function trainedWith<T>(
  { base, clients, plan }: TinyFederation,
  measure: (client: string, update: Update) => Promise<T>,
): Promise<{ updates: Update[]; measured: Record<string, T> }> {
  const updates: Update[] = []
  const measured: Record<string, T> = {}
  for (const [client, data] of Object.entries(clients)) {
    const update = await train(base, data, plan, { client })
    updates.push(update)
    measured[client] = await measure(client, update)
  }
  return { updates, measured }
}

/** The dense effect of an adapter, layer by layer: what it does, whatever factors it is made of. */
export function effects(adapter: Adapter): Map<string, Float64Array> {
  const effects = new Map(
    adapter.layers.map(({ name, in: inDim, out, rank, scale, a, b }) => {
      const dense = new Float64Array(out * inDim)
      for (let row = 0; row < out; row++) {
        for (let k = 0; k < rank; k++) {
          const factor = scale * (b[row * rank + k] as number)
          for (let column = 0; column < inDim; column++)
            dense[row * inDim + column]! += factor * (a[k * inDim + column] as number)
        }
      }
      return [name, dense]
    }),
  )
  for (const { name, values } of adapter.dense) {
    const layer = name.replace(/\.weight$/, '')
    const factors = effects.get(layer)
    effects.set(layer, factors ? factors.map((value, i) => value + values[i]!) : Float64Array.from(values))
  }
  return effects
}

/** ||left - right|| / ||right|| over all layers together. */
export function distance(left: Adapter, right: Adapter): number {
  const others = effects(right)
  let difference = 0
  let norm = 0
  for (const [name, values] of effects(left)) {
    const other = others.get(name)
    if (other === undefined) throw new Error(`no layer ${name}`)
    values.forEach((value, i) => {
      difference += (value - other[i]!) ** 2
      norm += other[i]! ** 2
    })
  }
  return Math.sqrt(difference / norm)
}

/** Every number of an adapter, to be compared bit by bit. */
export function bits(adapter: Adapter): Record<string, unknown> {
  const dense = adapter.dense.map(({ name, shape, values }) => [name, { shape, values: hex(values) }] as const)
  const factors = Object.fromEntries(
    [...adapter.layers]
      .filter((layer) => layer.rank > 0)
      .sort((x, y) => (x.name < y.name ? -1 : 1))
      .map((layer) => [layer.name, { rank: layer.rank, scale: layer.scale, a: hex(layer.a), b: hex(layer.b) }]),
  )
  return { ...factors, ...Object.fromEntries(dense) }
}

function hex(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('hex')
}
