/**
 * Where fetched models lie: models/OWNER--NAME/COMMIT/ with a model's files, and beside the commits refs/REVISION, the commit
 * that a branch or tag stood at when it was last looked up. A commit's folder is whole where it has complete.json.
 */
import { readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { writeAtomic } from '../run/atomic.js'
import { isRecord } from '../text/bounded-file.js'
import type { HubAddress } from './hub-address.js'

const SEAL = 'complete.json'
const COMMIT = /^[0-9a-f]{40}$/

/** ONEROUND_CACHE, or oneround/ in the user's cache folder (XDG_CACHE_HOME, else ~/.cache). */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const { ONEROUND_CACHE, XDG_CACHE_HOME } = environment
  if (ONEROUND_CACHE) return ONEROUND_CACHE
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'oneround')
}

export function isCommit(text: string): boolean {
  return COMMIT.test(text)
}

export class HubCache {
  readonly #root: string

  constructor(cache: string, { repository }: HubAddress) {
    this.#root = join(cache, 'models', repository.replace('/', '--'))
  }

  folder(commit: string): string {
    return join(this.#root, commit)
  }

  /** The commit that a revision stood at when it was last looked up. */
  async known(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision
    const text = await readFile(this.#ref(revision), 'utf8').catch(() => '')
    return isCommit(text.trim()) ? text.trim() : undefined
  }

  async remember(revision: string, commit: string): Promise<void> {
    if (!isCommit(revision)) await writeAtomic(this.#ref(revision), `${commit}\n`)
  }

  /** What is in a commit's folder, where all of `wanted` that was asked for then is there in its full size. */
  async whole(commit: string, file: string | undefined): Promise<string[] | undefined> {
    const folder = this.folder(commit)
    let files: unknown
    try {
      files = JSON.parse(await readFile(join(folder, sealName(file)), 'utf8'))
    } catch {
      return undefined
    }
    if (!isRecord(files)) return undefined
    for (const [name, bytes] of Object.entries(files)) {
      const size = await sizeOf(join(folder, name))
      if (size !== bytes) return undefined
    }
    return Object.keys(files)
  }

  async seal(
    commit: string,
    file: string | undefined,
    files: readonly { name: string; bytes: number }[],
  ): Promise<void> {
    const sizes = Object.fromEntries(files.map(({ name, bytes }) => [name, bytes]))
    await writeAtomic(join(this.folder(commit), sealName(file)), `${JSON.stringify(sizes, null, 2)}\n`)
  }

  #ref(revision: string): string {
    return join(this.#root, 'refs', encodeURIComponent(revision))
  }
}

/** One a .gguf file asked for by name: a repository's other files may come later. */
function sealName(file: string | undefined): string {
  return file === undefined ? SEAL : `${file}.${SEAL}`
}

export async function sizeOf(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(() => undefined)
  return found?.isFile() ? found.size : undefined
}
