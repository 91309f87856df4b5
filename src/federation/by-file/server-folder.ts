/**
 * What a server keeps between rounds, as a folder: SERVER/NAME/ for each closed round or server step, with the adapters
 * that its strategy remembers and state.json. Older ones stay, so that a round can be closed again.
 */
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Adapter } from '../../adapter/adapter.js'
import { loadAdapter } from '../../adapter/folder.js'
import { OneroundError } from '../../errors.js'
import { writeAtomic } from '../../run/atomic.js'
import { readJson } from '../../update/checked-json.js'
import { LIMITS } from '../../update/limits.js'
import { type Plan, planSha256 } from '../../update/plan.js'
import type { ServerState } from '../strategies/strategy.js'

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const schema = z.strictObject({
  server: z.literal(1),
  plan: sha256,
  /** digest of the start that goes down with it */
  start: sha256,
  /** the folders beside this file */
  adapters: z.array(z.string().regex(/^[a-z]{1,40}$/)).max(8),
  /** fedbuff: by client, the weight that has counted so far and the last visit */
  clients: z
    .record(
      z.string().max(64),
      z.strictObject({
        weight: z.number().min(0),
        visit: z.number().int().min(1).max(LIMITS.rounds),
      }),
    )
    .optional(),
})

/** Clients whose updates have counted. */
export type Counted = Readonly<Record<string, { weight: number; visit: number }>>

interface ServerStep {
  startSha256: string
  adapters: ServerState
  clients?: Counted | undefined
}

const STATE_FILE = 'state.json'
const FIX = 'Keep what aggregate --server wrote unchanged, or close the round before it again.'

/** Writes one step; state.json comes last, so that half of it is none. */
export async function writeStep(folder: string, name: string, plan: Plan, step: ServerStep): Promise<void> {
  for (const [part, adapter] of Object.entries(step.adapters)) await adapter.save(join(folder, name, part))
  const state = {
    server: 1,
    plan: planSha256(plan),
    start: step.startSha256,
    adapters: Object.keys(step.adapters),
    ...(step.clients === undefined ? {} : { clients: step.clients }),
  }
  await writeAtomic(join(folder, name, STATE_FILE), `${JSON.stringify(state, undefined, 2)}\n`)
}

/** What a step says of itself, checked; its adapters are not read. */
export async function readStepState(
  folder: string,
  name: string,
  plan: Plan,
): Promise<{ startSha256: string; names: string[]; clients: Counted | undefined }> {
  const file = join(folder, name, STATE_FILE)
  const state = await readJson(file, LIMITS.planBytes, schema, FIX)
  const { start, adapters, clients } = state
  if (state.plan !== planSha256(plan)) {
    throw new OneroundError('MISMATCH', `${file} belongs to another plan.`, {
      found: `plan ${state.plan}`,
      expected: `plan ${planSha256(plan)}`,
      fix: 'Give each federation a server folder of its own (--server).',
    })
  }
  return { startSha256: start, names: adapters, clients }
}

export async function readStep(folder: string, name: string, plan: Plan): Promise<ServerStep> {
  const { startSha256, names, clients } = await readStepState(folder, name, plan)
  const adapters: Record<string, Adapter> = {}
  for (const part of names) adapters[part] = await loadAdapter(join(folder, name, part))
  return { startSha256, adapters, clients }
}

/** Numbers of the steps `PREFIX-1`, `PREFIX-2` .. that were written whole, in order. */
export async function stepsIn(folder: string, prefix: string): Promise<number[]> {
  if (!existsSync(folder)) return []
  const numbers = (await readdir(folder)).flatMap((name) => {
    const match = new RegExp(`^${prefix}-([1-9][0-9]{0,8})$`).exec(name)
    return match && existsSync(join(folder, name, STATE_FILE)) ? [Number(match[1])] : []
  })
  return numbers.sort((x, y) => x - y)
}
