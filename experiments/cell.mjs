// One cell of a study in a process of its own: simulates its seeds, and prints one record as JSON.
// arguments: STUDY INDEX FOLDER THREADS
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
import { contrastsOf, lossesOf } from './contrasts.mjs'
import { remediesOf } from './remedies.mjs'
import { readStudy } from './study.mjs'

const [name, index, folder, threads] = process.argv.slice(2)
const study = readStudy(name)
const settings = study.cells[Number(index)]
const o = { threads: Number(threads) }
const began = performance.now()
const base = await openBase(settings.base, folder)
// Another study's folder, or one of other settings, is never gone on in.
const place = join(
  folder,
  createHash('sha256')
    .update(JSON.stringify([name, settings]))
    .digest('hex')
    .slice(0, 16),
)
const questions = { remedies: remediesOf, arrival: arrivals, accuracy: accuracies }
const asked = Object.fromEntries(settings.ask.map((what) => [what, []]))
const [runs, reasons] = [[], []]
for (const seed of study.seeds) {
  // Data and training are drawn anew together, so that an interval over seeds speaks of other data too.
  const clients = await clientsOf(base, settings, 1000 + seed)
  const plan = await planOf(clients, seed)
  const run = join(place, `seed-${seed}`)
  await simulate(base, clients, plan, { ...o, folder: run, resume: true, compare: settings.arms })
  runs.push(run)
  const explained = reasons.length < settings.explain ? { clients, budget: 0.05 } : {}
  const told = await diagnose({ ...o, run, base, ...explained })
  reasons.push(reasonsOf(told))
  const evidence = await readRunEvidence(run)
  for (const what of settings.ask)
    asked[what].push(await questions[what]({ base, clients, evidence, settings, told, o }))
  process.stderr.write(`${name} ${index}: seed ${seed}, ${((performance.now() - began) / 1000).toFixed(0)} s\n`)
}
const evidence = await Promise.all(runs.map((run) => readRunEvidence(run, { ablations: true })))
const record = {
  settings,
  seeds: study.seeds,
  losses: lossesOf(evidence, settings.arms),
  contrasts: contrastsOf(evidence, settings),
  reasons,
  asked,
  seconds: (performance.now() - began) / 1000,
}
await rm(place, { recursive: true, force: true })
process.stdout.write(`${JSON.stringify(record)}\n`)

function planOf(clients, seed) {
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
