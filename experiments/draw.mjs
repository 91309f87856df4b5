// One draw: a cell of a study at one seed, in a process of its own. Simulates it, asks what the study asks, and prints what
// a record is made of as JSON.
// arguments: STUDY CELL SEED FOLDER THREADS
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { diagnose } from '../dist/diagnose/diagnose.js'
import { readRunEvidence } from '../dist/diagnose/run-evidence.js'
import { simulate } from '../dist/federation/simulate.js'
import { createPlan } from '../dist/update/create-plan.js'
import { accuracies } from './accuracy.mjs'
import { arrivals } from './arrival.mjs'
import { openBase } from './bases.mjs'
import { clientsOf } from './clients.mjs'
import { remediesOf } from './remedies.mjs'
import { readStudy } from './study.mjs'

const [name, index, drawn, folder, threads] = process.argv.slice(2)
const study = readStudy(name)
const settings = study.cells[Number(index)]
const seed = Number(drawn)
const o = { threads: Number(threads) }
const began = performance.now()
const base = await openBase(settings.base, folder)
// Another study's folder, or one of other settings, is never gone on in.
const run = join(
  folder,
  createHash('sha256')
    .update(JSON.stringify([name, settings, seed]))
    .digest('hex')
    .slice(0, 16),
)
const questions = { remedies: remediesOf, arrival: arrivals, accuracy: accuracies }
// Data and training are drawn anew together, so that an interval over seeds speaks of other data too.
const clients = await clientsOf(base, settings, 1000 + seed)
const plan = await planOf()
await simulate(base, clients, plan, { ...o, folder: run, resume: true, compare: settings.arms })
const explained = study.seeds.indexOf(seed) < settings.explain ? { clients, budget: 0.05 } : {}
const told = await diagnose({ ...o, run, base, ...explained })
const evidence = await readRunEvidence(run, { ablations: true })
const asked = {}
for (const what of settings.ask) asked[what] = await questions[what]({ base, clients, evidence, settings, told, o })
const { arms, items, data } = evidence
const draw = {
  ...{ settings, seed, data, arms: Object.fromEntries(arms), items: Object.fromEntries(items) },
  ...{ reasons: reasonsOf(told), asked, seconds: (performance.now() - began) / 1000 },
}
await rm(run, { recursive: true, force: true })
process.stdout.write(`${JSON.stringify(draw)}\n`)

function planOf() {
  const { horizon, learningRate, batch, rank, cutoff, heldOut } = settings
  const factors = settings.plan.trainable === 'full' ? {} : { rank }
  return createPlan(base, {
    clients: Object.keys(clients),
    rounds: 1,
    epochs: horizon,
    learningRate,
    batch,
    cutoff,
    heldOut,
    seed,
    ...factors,
    ...settings.plan,
  })
}

/** The numbers of one seed that the tables read. What is unknown is left out. */
function reasonsOf(d) {
  const known = (value) => (value !== undefined && 'unknown' in value ? undefined : value)
  const [travel, smoothness, curvature, gap, bounds] = [d.travel, d.smoothness, d.curvature, d.gap, d.bounds].map(known)
  const [similarity, disagreement, lambda] = [d.similarity, d.disagreement, d.lambda].map(known)
  return {
    tau: travel?.tau,
    L: smoothness?.ends?.mean,
    turn: curvature?.turn.mean,
    epsilon: gap?.epsilon,
    relativeGap: gap?.relative,
    published: bounds?.published,
    rederived: bounds?.rederived,
    meanCosine: similarity?.meanCosine,
    retention: similarity?.retention,
    fedit: similarity?.errors.fedit,
    disagreement: disagreement?.value,
    lambda: lambda?.best.lambda,
    lambdaGain: lambda?.atOne && lambda.best.test !== undefined ? lambda.atOne.test - lambda.best.test : undefined,
    layerGain: lambda?.atOne && lambda.perLayer ? lambda.atOne.test - lambda.perLayer.test : undefined,
  }
}
