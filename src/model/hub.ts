/**
 * Models of the hub, fetched once into a cache. This is the only place of the package that opens a socket, and only for a
 * source that begins with `hub:`. What is cached whole is opened without asking the hub where the revision is a commit.
 */
import { join } from 'node:path'
import { OneroundError } from '../errors.js'
import { type HubAddress, parseHubAddress } from './hub-address.js'
import { cacheFolder, HubCache, isCommit } from './hub-cache.js'
import { aborted, fetchFile } from './hub-download.js'
import { adapterFilesToFetch, filesToFetch, type HubFile, hubFile, MAX_LISTED } from './hub-files.js'
import { type Library, library } from './hub-library.js'

export interface HubOptions {
  /** instead of `@REVISION` in the source; default main */
  revision?: string | undefined
  /** default: ONEROUND_CACHE, else oneround/ in the user's cache folder */
  cache?: string | undefined
  /** default: HF_ENDPOINT, else the Hugging Face Hub */
  hubUrl?: string | undefined
  signal?: AbortSignal | undefined
  /** in bytes of all files */
  onProgress?: ((p: { file: string; done: number; total: number }) => void) | undefined
}

/**
 * Fetches what is not cached yet, each file checked against the digest in the hub's listing. HF_TOKEN is sent to the hub
 * where it is set, for models that ask for it.
 * @returns what openModel opens: a folder, or a .gguf file
 * @throws OneroundError ARGUMENT, NOT_FOUND (model, revision, or nothing that can be opened), MALFORMED (a corrupt file), IO (no
 *   network), UNSUPPORTED (the library is not installed), ABORTED
 */
export async function fetchModel(source: string, o: HubOptions = {}): Promise<string> {
  const address = parseHubAddress(source, o.revision)
  const { folder, files } = await fetchFiles(source, address, filesToFetch, o)
  return placeOf(folder, files, address)
}

/**
 * Fetches an adapter's files the same way.
 * @returns the folder in the cache, and the names of the files in it
 * @throws OneroundError as fetchModel
 */
export async function fetchAdapter(source: string, o: HubOptions = {}): Promise<{ folder: string; files: string[] }> {
  const { repository, revision } = parseHubAddress(source, o.revision)
  // The seal of an adapter is its own: the same repository may also be opened as a model.
  return fetchFiles(source, { repository, revision, file: 'adapter' }, adapterFilesToFetch, o)
}

type Choice = (listed: readonly HubFile[], file: string | undefined, repository: string) => HubFile[]

async function fetchFiles(
  source: string,
  address: HubAddress,
  choose: Choice,
  o: HubOptions,
): Promise<{ folder: string; files: string[] }> {
  const cache = new HubCache(o.cache ?? cacheFolder(), address)
  const known = await cache.known(address.revision)
  if (known !== undefined && isCommit(address.revision)) {
    const files = await cache.whole(known, address.file)
    if (files) return { folder: cache.folder(known), files }
  }
  const hub = new Hub(await library(source), source, address, o)
  let commit: string
  try {
    commit = await hub.commit()
  } catch (error) {
    // Without a network a branch is what it was when it was last seen.
    const files = known === undefined || !isUnreachable(error) ? undefined : await cache.whole(known, address.file)
    if (known === undefined || files === undefined) throw error
    return { folder: cache.folder(known), files }
  }
  const there = await cache.whole(commit, address.file)
  const files = there ?? (await fetchAll(hub, cache, commit, address, choose, o))
  await cache.remember(address.revision, commit)
  return { folder: cache.folder(commit), files }
}

async function fetchAll(
  hub: Hub,
  cache: HubCache,
  commit: string,
  { repository, file }: HubAddress,
  choose: Choice,
  { signal, onProgress }: HubOptions,
): Promise<string[]> {
  const files = choose(await hub.list(commit), file, repository)
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  for (const one of files) {
    const onBytes = (bytes: number): void => {
      done += bytes
      onProgress?.({ file: one.name, done, total })
    }
    await hub.guarded(() => fetchFile(one, cache.folder(commit), (f) => hub.stream(f, commit), { signal, onBytes }))
  }
  await cache.seal(commit, file, files)
  return files.map(({ name }) => name)
}

function placeOf(folder: string, files: readonly string[], { file }: HubAddress): string {
  const gguf = file ?? files.find((name) => name.endsWith('.gguf'))
  return gguf === undefined ? folder : join(folder, gguf)
}

/** The hub's questions that we ask, with our errors. */
class Hub {
  readonly #library: Library
  readonly #source: string
  readonly #address: HubAddress
  readonly #signal: AbortSignal | undefined
  readonly #common: { hubUrl?: string; accessToken?: string; fetch: typeof fetch }

  constructor(hub: Library, source: string, address: HubAddress, o: HubOptions) {
    this.#library = hub
    this.#source = source
    this.#address = address
    const hubUrl = (o.hubUrl ?? process.env.HF_ENDPOINT)?.replace(/\/+$/, '')
    const accessToken = process.env.HF_TOKEN
    const { signal } = o
    this.#common = {
      ...(hubUrl ? { hubUrl } : {}),
      ...(accessToken ? { accessToken } : {}),
      fetch: (input, init) => fetch(input, signal === undefined ? init : { ...init, signal }),
    }
    this.#signal = signal
  }

  /** The commit that the revision stands at. */
  async commit(): Promise<string> {
    const { repository, revision } = this.#address
    return this.guarded(async () => {
      const info = await this.#library.modelInfo({
        name: repository,
        revision,
        additionalFields: ['sha'],
        ...this.#common,
      })
      if (typeof info.sha === 'string' && isCommit(info.sha)) return info.sha
      throw new OneroundError('MALFORMED', `The hub's answer about ${repository} cannot be used.`, {
        found: 'no commit',
        expected: 'the commit that the revision stands at',
        fix: 'Try again, or download the model another way and pass its folder.',
      })
    })
  }

  async list(commit: string): Promise<HubFile[]> {
    const { repository } = this.#address
    return this.guarded(async () => {
      const files: HubFile[] = []
      let listed = 0
      for await (const entry of this.#library.listFiles({ repo: repository, revision: commit, ...this.#common })) {
        if (++listed > MAX_LISTED) {
          throw new OneroundError('MALFORMED', `The hub's list of ${repository} is too long.`, {
            found: `more than ${MAX_LISTED} entries`,
            expected: 'the files of a model',
            fix: 'Download the files that are needed and pass their folder.',
          })
        }
        const file = hubFile(entry, repository)
        if (file) files.push(file)
      }
      return files
    })
  }

  async stream(file: HubFile, commit: string): Promise<ReadableStream<Uint8Array>> {
    // Plain HTTP: the digest is checked here whatever way the bytes came.
    const where = { repo: this.#address.repository, path: file.name, revision: commit, xet: false, ...this.#common }
    const blob = await this.#library.downloadFile(where)
    if (blob !== null) return blob.stream()
    throw new OneroundError('NOT_FOUND', `${file.name} is listed by the hub and not there.`, {
      found: `no ${file.name} in ${this.#address.repository}`,
      fix: 'Try again, or choose another revision.',
    })
  }

  /** Runs a request; whatever fails becomes one of our errors. */
  async guarded<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      if (error instanceof OneroundError) throw error
      if (this.#signal?.aborted) throw aborted(this.#signal)
      throw this.#explain(error)
    }
  }

  #explain(error: unknown): OneroundError {
    const { HubApiError } = this.#library
    if (error instanceof HubApiError) {
      const status = error.statusCode
      if (status === 404) {
        return new OneroundError('NOT_FOUND', `The hub does not have ${this.#source}.`, {
          found: error.message.split('\n')[0]?.slice(0, 200),
          expected: 'a public model and one of its branches, tags or commits',
          fix: 'Check the name and the revision.',
          cause: error,
        })
      }
      if (status === 401 || status === 403) {
        return new OneroundError('NOT_FOUND', `The hub does not give out ${this.#source}.`, {
          found: `status ${status}`,
          expected: 'a public model, or one that the token in HF_TOKEN may read',
          fix: "Check the name, accept the model's terms on its page, or set HF_TOKEN.",
          cause: error,
        })
      }
    }
    if (error instanceof Error && 'syscall' in error && 'path' in error) {
      return new OneroundError('IO', 'The cache of models cannot be written.', {
        found: error.message,
        expected: 'a folder that can be written, with room on the disk',
        fix: 'Free space, or set ONEROUND_CACHE to another folder.',
        cause: error,
      })
    }
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    return new OneroundError('IO', `The hub cannot be reached, and ${this.#source} is not in the cache.`, {
      found: cause instanceof Error ? cause.message.slice(0, 200) : String(cause).slice(0, 200),
      expected: 'a network connection',
      fix: 'Connect and try again, or fetch the model on another machine and pass its folder.',
      cause: error,
    })
  }
}

function isUnreachable(error: unknown): boolean {
  return error instanceof OneroundError && error.code === 'IO'
}
