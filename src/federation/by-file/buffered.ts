/**
 * FedBuff where files go between machines: each `buffer` updates make one step of the server, and each step is a version
 * that clients start from. An update says by its start which version it began at; the steps since then are its staleness.
 */
import { join } from 'node:path'
import { type Adapter, makeAdapter } from '../../adapter/adapter.js'
import { loadAdapter } from '../../adapter/folder.js'
import { exactForm } from '../../aggregate/exact.js'
import type { LayerJobs } from '../../aggregate/layers.js'
import { serveAdapter } from '../../aggregate/serve.js'
import { weightOf } from '../../aggregate/weights.js'
import { OneroundError } from '../../errors.js'
import { startFrom } from '../../train/start.js'
import { checkUpdate } from '../../update/checks.js'
import type { Plan } from '../../update/plan.js'
import { refusal } from '../../update/refusal.js'
import { readUpdate, type Update } from '../../update/update.js'
import { everybody } from '../participation.js'
import { type Arrival, type FedBuffRule, fedbuffStep } from '../strategies/fedbuff.js'
import type { ClosedFiles, CloseFilesOptions } from './close.js'
import { type Counted, readStepState, stepsIn, writeStep } from './server-folder.js'

/** The server between two steps. */
interface Server {
  version: number
  /** what all clients have been added up to; none before the first step */
  exact: Adapter | undefined
  clients: Counted
  /** digest of each version's start, from version 0 */
  starts: string[]
}

const versionName = (version: number) => `version-${version}`

/**
 * Takes updates in as many buffers as they fill. What is left over is refused, unless these are the last: then it counts
 * for the part of a buffer that it is, as in a simulation.
 */
export async function closeBuffered(
  plan: Plan,
  rule: FedBuffRule,
  updates: readonly string[],
  o: CloseFilesOptions,
): Promise<ClosedFiles> {
  const folder = o.server ?? ''
  const left = updates.length % rule.buffer
  if (o.isLast !== true && (updates.length === 0 || left > 0)) throw notFull(updates.length, rule.buffer)
  const before = await latest(plan, folder)
  const jobs = { threads: o.threads, signal: o.signal }
  const arrivals = await arrivalsOf(plan, folder, before, updates)
  let server = before
  for (let first = 0; first < arrivals.length; first += rule.buffer) {
    server = await step(plan, rule, server, arrivals.slice(first, first + rule.buffer), jobs)
    await writeStep(folder, versionName(server.version), plan, {
      startSha256: server.starts[server.version] ?? '',
      adapters: { exact: server.exact ?? makeAdapter([]) },
      clients: server.clients,
    })
  }
  const exact = server.exact ?? makeAdapter([])
  if (o.isLast !== true) {
    await exact.save(o.out)
    return { last: false, exact, round: server.version }
  }
  const served = await serveAdapter(plan, exact, sharesOf(plan, server.clients), jobs)
  await served.adapter.save(o.out)
  return { last: true, served }
}

async function latest(plan: Plan, folder: string): Promise<Server> {
  const starts = [startFrom(plan, 1, undefined).sha256]
  let clients: Counted = {}
  const versions = await stepsIn(folder, 'version')
  for (const [i, version] of versions.entries()) {
    if (version !== i + 1) throw missing(folder, i + 1)
    const state = await readStepState(folder, versionName(version), plan)
    starts.push(state.startSha256)
    clients = state.clients ?? {}
  }
  const version = versions.length
  return { version, starts, clients, exact: await exactOf(folder, version) }
}

async function exactOf(folder: string, version: number): Promise<Adapter | undefined> {
  return version === 0 ? undefined : loadAdapter(join(folder, versionName(version), 'exact'))
}

/** An update that was checked, with the version it began at. */
interface Taken {
  update: Update
  version: number
  /** the factors that it started from */
  start: Adapter
}

/** Reads and checks every update before any is counted. */
async function arrivalsOf(plan: Plan, folder: string, server: Server, files: readonly string[]): Promise<Taken[]> {
  const visits = new Map(Object.entries(server.clients).map(([client, { visit }]) => [client, visit]))
  const exacts = new Map<number, Adapter | undefined>([[server.version, server.exact]])
  const taken: Taken[] = []
  for (const file of files) {
    const update = await readUpdate(file, plan)
    const { client, round, startSha256 } = update.info
    const version = server.starts.lastIndexOf(startSha256)
    if (version < 0)
      throw refusal(
        client,
        'start',
        `start ${startSha256}`,
        `one of the server's ${server.starts.length} versions`,
        FIX,
      )
    if (round > plan.rounds) throw refusal(client, 'round', `visit ${round}`, `at most ${plan.rounds}`, FIX)
    const last = visits.get(client) ?? 0
    if (round <= last) throw refusal(client, 'once', `visit ${round} after visit ${last}`, 'a later visit', FIX)
    visits.set(client, round)
    if (!exacts.has(version)) exacts.set(version, await exactOf(folder, version))
    const start = startFrom(plan, round, exacts.get(version))
    checkUpdate(plan, update, { round, startSha256: start.sha256 })
    taken.push({ update, version, start: start.trained })
  }
  return taken
}

const FIX = 'Train from a version of this server, each visit once (train --round VISIT --start FOLDER).'

async function step(
  plan: Plan,
  rule: FedBuffRule,
  server: Server,
  buffer: readonly Taken[],
  jobs: LayerJobs,
): Promise<Server> {
  const clients: Record<string, { weight: number; visit: number }> = { ...server.clients }
  const arrivals = buffer.map(({ update, version, start }): Arrival => {
    const { client, round } = update.info
    const weight = weightOf(plan.aggregate.weights, update.info)
    clients[client] = { weight: (clients[client]?.weight ?? 0) + weight, visit: round }
    return { client, visit: round, end: update.adapter, start, staleness: server.version - version, weight }
  })
  const share = Math.min(1, buffer.length / rule.buffer)
  const part = { ...rule, serverLearningRate: rule.serverLearningRate * share }
  const stepped = await fedbuffStep(part, server.exact ?? makeAdapter([]), arrivals, jobs)
  const exact = await exactForm(plan, stepped, jobs)
  const starts = [...server.starts, startFrom(plan, 1, exact).sha256]
  return { version: server.version + 1, exact, clients, starts }
}

/** What each client's updates have counted, summing to 1. */
function sharesOf(plan: Plan, clients: Counted): Record<string, number> {
  const { minimumClients } = plan.participation ?? everybody
  const entries = Object.entries(clients)
  if (entries.length < Math.max(1, minimumClients))
    throw new OneroundError('REFUSED', 'Too few clients have sent an update.', {
      found: `${entries.length}`,
      expected: `at least ${Math.max(1, minimumClients)} (minimumClients)`,
      fix: 'Wait for more updates.',
    })
  const total = entries.reduce((sum, [, { weight }]) => sum + weight, 0)
  return Object.fromEntries(entries.map(([client, { weight }]) => [client, weight / total]))
}

function notFull(updates: number, buffer: number): OneroundError {
  return new OneroundError('ARGUMENT', 'The updates do not fill the buffer.', {
    found: `${updates} updates`,
    expected: `${buffer} (the plan's buffer), or a multiple of it`,
    fix: 'Wait for more, or say that no more will come (--last; API: isLast).',
  })
}

function missing(folder: string, version: number): OneroundError {
  return new OneroundError('NOT_FOUND', `${folder} lacks version ${version} of the server.`, {
    expected: 'every version from 1 on',
    fix: 'Restore it: updates that began at it cannot be counted without.',
  })
}
