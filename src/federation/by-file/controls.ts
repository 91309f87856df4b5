/**
 * SCAFFOLD's vectors as files: c lies in the folder that the server sends down, c_i' - c_i travels up beside an update,
 * and c_i stays with its client.
 */
import { join } from 'node:path'
import { byClient } from '../../aggregate/sums.js'
import { resolveWeights } from '../../aggregate/weights.js'
import { OneroundError } from '../../errors.js'
import { readSafetensorsHeader } from '../../model/safetensors.js'
import { writeAtomic } from '../../run/atomic.js'
import type { Start } from '../../train/start.js'
import { besideUpdate } from '../../update/beside.js'
import { decodeInfo, type UpdateInfo } from '../../update/info.js'
import { updateCount } from '../../update/layers.js'
import { type Plan, planSha256 } from '../../update/plan.js'
import { readBytes } from '../../update/read-file.js'
import { readControl } from '../client.js'
import { addDifference, type ControlVariate } from '../strategies/scaffold.js'
import { decodeVectors, encodeVectors, type VectorLabels } from '../vectors.js'

/** Beside the adapter's own files in the folder that a round starts from. */
const CONTROL_FILE = 'control.safetensors'

/** The server's c as it goes with a start; zero in round 1. */
export async function readServerControl(folder: string | undefined, plan: Plan, start: Start): Promise<ControlVariate> {
  const count = updateCount(plan)
  if (folder === undefined) return new Float32Array(count)
  const bytes = await readVectors(join(folder, CONTROL_FILE), count)
  return decodeVectors(bytes, serverLabels(plan, start), { control: count }).control
}

export async function writeServerControl(folder: string, plan: Plan, start: Start, c: ControlVariate): Promise<void> {
  await writeAtomic(join(folder, CONTROL_FILE), encodeVectors(serverLabels(plan, start), { control: c }))
}

/** A client's own c_i from its last round; it must be of an earlier one. */
export async function readOwnControl(file: string, plan: Plan, client: string, round: number): Promise<ControlVariate> {
  const count = updateCount(plan)
  const bytes = await readVectors(file, count)
  const { own, round: of } = decodeVectors(bytes, ownLabels(plan, client), { own: count, round: 1 })
  if ((of[0] ?? 0) >= 1 && (of[0] ?? 0) < round) return own
  throw new OneroundError('MISMATCH', `${file} is not of an earlier round.`, {
    found: `round ${of[0]}`,
    expected: `a round before ${round}`,
    fix: "Give this client's last update before this round (--last).",
  })
}

export function encodeOwnControl(plan: Plan, client: string, round: number, own: ControlVariate): Uint8Array {
  return encodeVectors(ownLabels(plan, client), { own, round: Float32Array.of(round) })
}

/** c after a round: every client's difference lies beside its update. Clients are taken by name, so no order matters. */
export async function nextControl(
  c: ControlVariate,
  plan: Plan,
  start: Start,
  updates: readonly string[],
): Promise<ControlVariate> {
  const read: { info: UpdateInfo; file: string }[] = []
  for (const file of updates)
    read.push({ info: decodeInfo((await readSafetensorsHeader(file)).metadata, file).info, file })
  const sent = byClient(read)
  const differences: [UpdateInfo, ControlVariate][] = []
  for (const { info, file } of sent) {
    const bytes = await readVectors(besideUpdate(file, 'control'), c.length)
    differences.push([info, readControl(bytes, plan, info.client, start, c.length)])
  }
  const next = c.slice()
  const shares = controlShares(
    plan,
    sent.map(({ info }) => info),
    clientCount(plan),
  )
  for (const [{ client }, difference] of differences) addDifference(next, difference, shares[client])
  return next
}

/** What each difference counts in c: p_i |S| / N of the |S| clients that took part among N, at equal weights 1 / N. */
export function controlShares(plan: Plan, infos: readonly UpdateInfo[], clients: number): Record<string, number> {
  const weights = resolveWeights(plan.aggregate.weights, infos)
  return Object.fromEntries(infos.map(({ client }) => [client, (weights[client] ?? 0) * (infos.length / clients)]))
}

function clientCount({ clients }: Plan): number {
  if (clients.length > 0) return clients.length
  throw new OneroundError('UNSUPPORTED', 'SCAFFOLD by files has to know how many clients there are.', {
    found: 'a plan that lists none',
    expected: 'clients in the plan',
    fix: 'Make the plan with --clients.',
  })
}

/** Room for labels and shapes beside the numbers. */
const HEADER_BYTES = 1 << 16

function readVectors(file: string, count: number): Promise<Uint8Array> {
  return readBytes(file, 4 * (count + 1) + HEADER_BYTES)
}

function serverLabels(plan: Plan, { round, sha256 }: Start): VectorLabels {
  return { kind: 'oneround-server-control-1', plan: planSha256(plan), round: String(round), start: sha256 }
}

function ownLabels(plan: Plan, client: string): VectorLabels {
  return { kind: 'oneround-own-control-1', client, plan: planSha256(plan) }
}
