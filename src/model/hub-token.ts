/** The hub's token: HF_TOKEN, else the file in which the hub's own tools keep it. It is sent to the hub and shown to nobody. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { readBoundedFile } from '../text/bounded-file.js'

const LIMIT = 4096

/** @returns undefined where there is none */
export async function hubToken(environment: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  const { HF_TOKEN, HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME } = environment
  if (HF_TOKEN) return HF_TOKEN
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface')
  const bytes = await readBoundedFile(HF_TOKEN_PATH || join(home, 'token'), LIMIT)
  return bytes?.toString('utf8').trim() || undefined
}
