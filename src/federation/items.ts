/** items/ARM.json of a run folder: each client's held-out losses, example by example. */
import { z } from 'zod'
import { readJson } from '../update/checked-json.js'
import type { ItemLosses } from './judge.js'

/** Millions of examples; a number takes about twenty bytes. */
const MOST_BYTES = 512 * 2 ** 20

const schema = z.record(
  z.string().max(64),
  z
    .strictObject({ losses: z.array(z.number().min(0)), tokens: z.array(z.number().int().min(0)) })
    .refine(({ losses, tokens }) => losses.length === tokens.length, 'as many losses as token counts'),
)

/** @throws OneroundError MALFORMED, NOT_FOUND */
export async function readItems(file: string): Promise<Record<string, ItemLosses>> {
  return readJson(file, MOST_BYTES, schema, 'Delete that file and run simulate with --resume: it judges the arm again.')
}
