/**
 * The run folder:
 *
 *     plan.json           what was agreed
 *     environment.json    what it ran on
 *     state.json          what is finished, by digest
 *     metrics.jsonl       one event a line
 *     updates/ARM/ROUND/CLIENT.update.safetensors
 *     items/ARM.json      held-out losses by client and example
 *     adapter/            the served adapter, a PEFT folder; state/ARM/ROUND/ holds those between rounds
 *     report.html
 *
 * A run that was killed is opened again with `resume` and asks `finished()` before each piece of work.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { OneroundError } from '../errors.js'
import { isCode, writeAtomic } from './atomic.js'
import type { Environment } from './environment.js'
import { type Metrics, openMetrics } from './metrics.js'
import { fileDigest, type RunState, readState, writeState } from './state.js'

export interface RunFolder {
  readonly path: string
  readonly metrics: Metrics
  /** true where the folder held work of an earlier process */
  readonly resumed: boolean
  /** updates/ARM/ROUND/CLIENT.update.safetensors; rounds count from 1 */
  updateFile(arm: string, round: number, client: string): string
  /** items/PLACE.json; PLACE is an arm, or client/NAME */
  itemsFile(place: string): string
  /** state/ARM/ROUND: the adapter that an arm holds after a round */
  stateFolder(arm: string, round: number): string
  readonly adapterFolder: string
  readonly reportFile: string
  /** Marks files of this folder as finished, by what they hold now. */
  finish(...files: string[]): Promise<void>
  /** True where every file was marked as finished and still holds what it held then. */
  finished(...files: string[]): Promise<boolean>
  /** Keeps a finished result that is not a file (JSON). */
  setResult(key: string, value: unknown): Promise<void>
  /** A kept result; undefined where there is none. */
  result(key: string): unknown
  /** Takes files and results out of what is finished; the files themselves are the caller's to delete. */
  forget(files: readonly string[], results: readonly string[]): Promise<void>
  /** Waits for all writing. */
  close(): Promise<void>
}

/** What `openRun` starts from. `plan` is plan.json's text; a folder that holds another plan is refused. */
interface RunOptions {
  plan: string
  resume?: boolean | undefined
  environment?: Environment | undefined
}

/** True where the folder looks like a run's. */
export async function isRunFolder(path: string): Promise<boolean> {
  const names = await list(path)
  return names?.includes('plan.json') === true && (names.includes('state.json') || names.includes('metrics.jsonl'))
}

/** Makes a run folder, or with `resume` goes on in one. Nothing that is there is ever overwritten by another run. */
export async function openRun(path: string, o: RunOptions): Promise<RunFolder> {
  const names = await list(path)
  const before = names?.filter((name) => !name.endsWith('.tmp')) ?? []
  if (before.length > 0) await checkResumable(path, before, o)
  await mkdir(path, { recursive: true })
  if (!before.includes('plan.json')) await writeAtomic(join(path, 'plan.json'), o.plan)
  if (o.environment !== undefined) {
    await writeAtomic(join(path, 'environment.json'), `${JSON.stringify(o.environment, undefined, 2)}\n`)
  }
  const stateFile = join(path, 'state.json')
  const state = await readState(stateFile)
  await writeState(stateFile, state)
  const metrics = await openMetrics(join(path, 'metrics.jsonl'))
  return new Folder(path, stateFile, state, metrics, before.includes('plan.json'))
}

/** plan.json's text, the state and the environment of a run folder that is only read. */
export async function readRun(
  path: string,
): Promise<{ plan: string; state: RunState; environment: unknown; metricsFile: string }> {
  if (!(await isRunFolder(path))) {
    throw new OneroundError('NOT_FOUND', `${path} is not a run folder.`, {
      expected: 'a folder with plan.json, state.json and metrics.jsonl',
      fix: 'Give the folder that simulate --out or demo --out wrote.',
    })
  }
  const environmentText = await readOptional(join(path, 'environment.json'))
  let environment: unknown
  try {
    environment = environmentText === undefined ? undefined : JSON.parse(environmentText)
  } catch (cause) {
    throw new OneroundError('MALFORMED', `${join(path, 'environment.json')} is not JSON.`, {
      fix: 'Delete that file.',
      cause,
    })
  }
  return {
    plan: await readFile(join(path, 'plan.json'), 'utf8'),
    state: await readState(join(path, 'state.json')),
    environment,
    metricsFile: join(path, 'metrics.jsonl'),
  }
}

class Folder implements RunFolder {
  readonly adapterFolder: string
  readonly reportFile: string
  private queue: Promise<void> = Promise.resolve()

  constructor(
    readonly path: string,
    private readonly stateFile: string,
    private readonly state: RunState,
    readonly metrics: Metrics,
    readonly resumed: boolean,
  ) {
    this.adapterFolder = join(path, 'adapter')
    this.reportFile = join(path, 'report.html')
  }

  updateFile(arm: string, round: number, client: string): string {
    return join(this.path, 'updates', part(arm), part(String(round)), `${part(client)}.update.safetensors`)
  }

  itemsFile(place: string): string {
    return `${join(this.path, 'items', ...place.split('/').map(part))}.json`
  }

  stateFolder(arm: string, round: number): string {
    return join(this.path, 'state', part(arm), part(String(round)))
  }

  async finish(...files: string[]): Promise<void> {
    for (const file of files) {
      const digest = await fileDigest(file)
      if (digest === undefined) {
        throw new OneroundError('NOT_FOUND', `${file} cannot be finished: it is not there.`, {
          fix: 'Write the file before marking it as finished.',
        })
      }
      this.state.files[this.key(file)] = digest
    }
    await this.save()
  }

  async finished(...files: string[]): Promise<boolean> {
    for (const file of files) {
      const key = this.key(file)
      const known = Object.hasOwn(this.state.files, key) ? this.state.files[key] : undefined
      if (known === undefined) return false
      const now = await fileDigest(file)
      if (now === undefined || now.sha256 !== known.sha256) return false
    }
    return true
  }

  async setResult(key: string, value: unknown): Promise<void> {
    // Through JSON, so that this process and one that resumes see the same value.
    this.state.results[key] = JSON.parse(JSON.stringify(value)) as RunState['results'][string]
    await this.save()
  }

  result(key: string): unknown {
    return Object.hasOwn(this.state.results, key) ? this.state.results[key] : undefined
  }

  async forget(files: readonly string[], results: readonly string[]): Promise<void> {
    for (const file of files) delete this.state.files[this.key(file)]
    for (const key of results) delete this.state.results[key]
    await this.save()
  }

  async close(): Promise<void> {
    await this.queue
    await this.metrics.close()
  }

  /** Clients finish side by side; the state is written one at a time, each time with all that is known. */
  private save(): Promise<void> {
    const written = this.queue.then(() => writeState(this.stateFile, this.state))
    this.queue = written.catch(() => undefined)
    return written
  }

  private key(file: string): string {
    const key = relative(this.path, file).split(sep).join('/')
    if (key === '' || key.startsWith('../') || key === '..') {
      throw new OneroundError('ARGUMENT', `${file} does not lie in the run folder.`, {
        expected: `a file below ${this.path}`,
        fix: 'Use updateFile() or stateFolder().',
      })
    }
    return key
  }
}

async function checkResumable(path: string, names: string[], o: RunOptions): Promise<void> {
  if (!names.includes('plan.json')) {
    throw new OneroundError('REFUSED', `${path} is not empty and not a run folder.`, {
      found: names.slice(0, 5).join(', '),
      expected: 'a new or empty folder',
      fix: 'Choose another output folder.',
    })
  }
  if (o.resume !== true) {
    throw new OneroundError('REFUSED', `${path} already holds a run.`, {
      found: 'plan.json',
      expected: 'a new or empty folder',
      fix: 'Go on with it by --resume, or choose another output folder.',
    })
  }
  const plan = await readFile(join(path, 'plan.json'), 'utf8')
  if (plan !== o.plan) {
    throw new OneroundError('MISMATCH', `${path} holds a run of another plan.`, {
      found: 'a plan.json that differs',
      expected: 'the plan that the run was started with',
      fix: 'Resume with the same options, or choose another output folder.',
    })
  }
}

/** One part of a path, from an arm's, round's or client's name. */
function part(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
    throw new OneroundError('ARGUMENT', `'${name.slice(0, 80)}' cannot be part of a file name.`, {
      expected: 'at most 64 of A-Z a-z 0-9 . _ -, starting with a letter or digit',
      fix: 'Choose another name.',
    })
  }
  return name
}

async function list(path: string): Promise<string[] | undefined> {
  try {
    return await readdir(path)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    if (isCode(error, 'ENOTDIR')) {
      throw new OneroundError('IO', `${path} is a file.`, {
        expected: 'a folder',
        fix: 'Choose another output folder.',
        cause: error,
      })
    }
    throw error
  }
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}
