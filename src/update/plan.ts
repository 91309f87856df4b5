/** The plan: what all parties agree on before anything trains. Its hash stands in every update. */
import { OneroundError } from '../errors.js'
import { writeAtomic } from '../run/atomic.js'
import { sha256Of } from '../text/digest.js'
import { canonicalJson } from './canonical.js'
import { checkJson, jsonOf } from './checked-json.js'
import { decayTable, resolveLayers, updateCount } from './layers.js'
import { LIMITS } from './limits.js'
import { METHOD_OF, type Method, type Plan, planSchema } from './plan-schema.js'
import { readText } from './read-file.js'
import { checkStrategy } from './strategy-checks.js'

export { type LinearLayer, resolveLayers } from './layers.js'
export type {
  FactorTrainable,
  FullTrainable,
  LoraTrainable,
  Method,
  Plan,
  PlanData,
  Share,
  Trainable,
  TrainOptions,
  Weights,
} from './plan-schema.js'
export { METHOD_OF } from './plan-schema.js'
export { FEDAVG, type StrategyName, type StrategyRule } from './strategy-schema.js'

const FIX = 'Correct the plan, or make a new one with: oneround plan.'

/** Checks a plan, given as JSON text or as parsed JSON, and fills in defaults. What is not built is refused by name. */
export function parsePlan(json: unknown, source = 'The plan'): Plan {
  const plan = checkJson(planSchema, typeof json === 'string' ? jsonOf(json, source, FIX) : json, source, FIX)
  checkKind(plan, source)
  checkOptimizer(plan, source)
  checkLayers(plan, source)
  checkSize(plan, source)
  checkStop(plan, source)
  decayTable(plan)
  checkClients(plan, source)
  checkWeights(plan, source)
  checkStrategy(plan, (found, expected) => inconsistent(source, found, expected))
  return plan
}

export async function readPlan(file: string): Promise<Plan> {
  return parsePlan(await readText(file, LIMITS.planBytes), file)
}

/** Writes plan.json, checked once more so that no plan is written that could not be read. */
export async function writePlan(file: string, plan: Plan): Promise<void> {
  await writeAtomic(file, planText(plan))
}

/** plan.json's text. */
export function planText(plan: Plan): string {
  return `${JSON.stringify(parsePlan(plan), undefined, 2)}\n`
}

/** SHA-256 of the plan's canonical JSON, in hexadecimal: layout and order of the file change nothing. */
export function planSha256(plan: Plan): string {
  return sha256Of(canonicalJson(plan))
}

function checkOptimizer({ train }: Plan, source: string): void {
  const { optimizer, momentum, nesterov } = train
  if (optimizer === 'adamw' && (momentum !== undefined || nesterov !== undefined))
    throw inconsistent(source, 'momentum or nesterov with adamw', "train.optimizer 'sgd' beside them")
  if (nesterov && !momentum) throw inconsistent(source, 'nesterov without momentum', 'a momentum above 0')
}

/** What belongs to full updates alone, and what to factors. */
function checkKind(plan: Plan, source: string): void {
  const { trainable } = plan.train
  const { method, rank } = plan.aggregate
  const own = trainable.kind === 'lora' ? undefined : METHOD_OF[trainable.kind]
  if (method === own && rank !== 'auto')
    throw inconsistent(source, `rank ${rank} with the method '${method}'`, "aggregate.rank 'auto'")
  if (trainable.kind !== 'full') {
    if (plan.layers.length === 0) throw inconsistent(source, 'no layers', 'at least one layer')
    const others: readonly Method[] = Object.values(METHOD_OF)
    if (method === own || !others.includes(method)) return
    const expected =
      own === undefined ? 'svd or another method of factors' : `'${own}', svd or another method of factors`
    throw inconsistent(source, `factors of kind '${trainable.kind}' with the method '${method}'`, expected)
  }
  if (plan.layers.length > 0) throw inconsistent(source, 'layers beside full updates', 'no layers')
  if (method !== own) throw inconsistent(source, `full updates with the method '${method}'`, "'fedavg'")
  const names = new Set(trainable.tensors.map(({ name }) => name))
  if (names.size !== trainable.tensors.length) throw inconsistent(source, 'a tensor comes twice', 'every tensor once')
}

function checkSize(plan: Plan, source: string): void {
  const bytes = updateCount(plan) * 4 + LIMITS.updateHeaderBytes
  if (bytes > LIMITS.updateBytes)
    throw inconsistent(source, `updates of ${bytes} bytes`, `at most ${LIMITS.updateBytes}`)
}

function checkStop({ train, data }: Plan, source: string): void {
  if (train.patience !== undefined && train.evaluateEvery === undefined)
    throw inconsistent(source, 'patience without evaluateEvery', 'how often train.evaluateEvery looks')
  if (train.evaluateEvery !== undefined && data.heldOut === 0)
    throw inconsistent(source, 'evaluateEvery with nothing held out', 'data.heldOut above 0')
}

/** The resolved layers must be what the trainable's rules give; a plan cannot say one thing and mean another. */
function checkLayers(plan: Plan, source: string): void {
  const names = new Set(plan.layers.map((layer) => layer.name))
  if (names.size !== plan.layers.length) throw inconsistent(source, 'a layer comes twice', 'every layer once')
  const rules = resolveLayers(plan.layers, plan.train.trainable)
  for (const [index, layer] of plan.layers.entries()) {
    const rule = rules.find((one) => one.name === layer.name)
    if (rule === undefined)
      throw inconsistent(source, `layers.${index} '${layer.name}'`, 'only layers that train.trainable.targets names')
    if (rule.rank !== layer.rank || rule.scale !== layer.scale) {
      throw inconsistent(
        source,
        `layers.${index} '${layer.name}' with rank ${layer.rank}, scale ${layer.scale}`,
        `rank ${rule.rank}, scale ${rule.scale}, as train.trainable says`,
      )
    }
  }
}

function checkClients(plan: Plan, source: string): void {
  const seen = new Set<string>()
  for (const { name } of plan.clients) {
    // Names become file names, and some file systems do not tell A from a.
    const key = name.toLowerCase()
    if (seen.has(key)) throw inconsistent(source, `client '${name}' twice`, 'every client once (A and a are one)')
    seen.add(key)
  }
}

function checkWeights(plan: Plan, source: string): void {
  const { weights } = plan.aggregate
  if (weights === 'uniform') return
  if (typeof weights === 'string') {
    if (plan.share.includes(weights)) return
    throw inconsistent(
      source,
      `weights by ${weights}, but share without '${weights}'`,
      `share with '${weights}', or weights 'uniform'`,
    )
  }
  const clients = plan.clients.map((client) => client.name)
  const without = clients.find((name) => !Object.hasOwn(weights, name))
  if (without !== undefined)
    throw inconsistent(source, `no weight for client '${without}'`, 'a weight for every client')
  const stranger = clients.length === 0 ? undefined : Object.keys(weights).find((name) => !clients.includes(name))
  if (stranger !== undefined)
    throw inconsistent(source, `a weight for '${stranger}'`, 'weights only for clients of the plan')
  if (Object.keys(weights).length === 0) throw inconsistent(source, 'no weight at all', 'a weight for every client')
}

function inconsistent(source: string, found: string, expected: string): OneroundError {
  return new OneroundError('MALFORMED', `${source} contradicts itself: ${found}.`, { found, expected, fix: FIX })
}
