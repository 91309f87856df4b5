import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '../adapter/adapter.js'
import { adapterFileNames, foundAdapterFiles, loadAdapter } from '../adapter/folder.js'
import { writeAtomic } from '../run/atomic.js'
import type { RunFolder } from '../run/folder.js'
import { besideUpdate } from '../update/beside.js'
import type { Visited } from './client.js'
import { readItems } from './items.js'
import type { ItemLosses } from './judge.js'
import type { ServerState } from './strategies/strategy.js'

/** An update on its way to the server, and what it cost. */
export interface Sent {
  /** the update's bytes, or the file that holds them: full updates of many clients need not lie in memory together */
  source: Uint8Array | string
  /** length of the update */
  bytes: number
  /** of training */
  seconds: number
  /** what lay beside the update; see Visited */
  control?: Uint8Array | undefined
  optimizer?: Uint8Array | undefined
}

/** Who carries files between clients and server: memory, or a run folder that survives a kill. */
export interface Store {
  update(arm: string, round: number, client: string): Promise<Sent | undefined>
  /** Takes a new update with what lies beside it; gives back where it is now. */
  keepUpdate(arm: string, round: number, client: string, visited: Visited, seconds: number): Promise<Sent>
  /** the exact aggregate after a round */
  exact(arm: string, round: number): Promise<Adapter | undefined>
  keepExact(arm: string, round: number, exact: Adapter): Promise<void>
  /** what a strategy's server kept after a round, beside the exact aggregate */
  serverState(arm: string, round: number): Promise<ServerState | undefined>
  keepServerState(arm: string, round: number, state: ServerState): Promise<void>
  /** where a client's unfinished training may be kept; undefined: nowhere */
  checkpoint(arm: string, round: number, client: string): string | undefined
  /** an arm's held-out losses by example; a client arm's place is `client/NAME` */
  items(place: string): Promise<Record<string, ItemLosses> | undefined>
  keepItems(place: string, items: Record<string, ItemLosses>): Promise<void>
  result(key: string): unknown
  keepResult(key: string, value: unknown): Promise<void>
}

/** Nothing outlives the process. Updates are still bytes: a simulation must not be able to pass more than files can. */
export function memoryStore(): Store {
  const updates = new Map<string, Sent>()
  const exacts = new Map<string, Adapter>()
  const items = new Map<string, Record<string, ItemLosses>>()
  const states = new Map<string, ServerState>()
  const results = new Map<string, unknown>()
  return {
    update: async (...place) => updates.get(place.join('/')),
    async keepUpdate(arm, round, client, { bytes: source, ...beside }, seconds) {
      const sent = { source, bytes: source.byteLength, seconds, ...beside }
      updates.set([arm, round, client].join('/'), sent)
      return sent
    },
    exact: async (...place) => exacts.get(place.join('/')),
    keepExact: async (arm, round, exact) => void exacts.set([arm, round].join('/'), exact),
    serverState: async (...place) => states.get(place.join('/')),
    keepServerState: async (arm, round, state) => void states.set([arm, round].join('/'), state),
    checkpoint: () => undefined,
    items: async (place) => items.get(place),
    keepItems: async (place, losses) => void items.set(place, losses),
    result: (key) => results.get(key),
    keepResult: async (key, value) => void results.set(key, value),
  }
}

/** Files that lie beside an update: one travels with it, the other stays at its client. */
const besides = ['control', 'optimizer'] as const

/** An arm's name as a part of a path. */
const placeOf = (arm: string) => arm.replaceAll(':', '-')

/** A run folder: a file counts only when its digest stands in the folder's state, so nothing half-written is taken for whole. */
export function folderStore(folder: RunFolder): Store {
  const updateFile = (arm: string, round: number, client: string) => folder.updateFile(placeOf(arm), round, client)
  const stateFolder = (arm: string, round: number) => folder.stateFolder(placeOf(arm), round)
  return {
    async update(arm, round, client) {
      const file = updateFile(arm, round, client)
      if (!(await folder.finished(file))) return undefined
      const seconds = folder.result(`seconds/${arm}/${round}/${client}`)
      const { size } = await stat(file)
      const sent: Sent = { source: file, bytes: size, seconds: typeof seconds === 'number' ? seconds : Number.NaN }
      for (const what of besides) {
        const beside = besideUpdate(file, what)
        if (await folder.finished(beside)) sent[what] = await readFile(beside)
      }
      return sent
    },
    async keepUpdate(arm, round, client, { bytes, ...beside }, seconds) {
      const file = updateFile(arm, round, client)
      for (const what of besides) {
        const own = beside[what]
        if (own === undefined) continue
        await writeAtomic(besideUpdate(file, what), own)
        await folder.finish(besideUpdate(file, what))
      }
      await writeAtomic(file, bytes)
      await folder.setResult(`seconds/${arm}/${round}/${client}`, seconds)
      await folder.finish(file)
      return { source: file, bytes: bytes.byteLength, seconds, ...beside }
    },
    async exact(arm, round) {
      const path = stateFolder(arm, round)
      return (await isFinished(folder, path)) ? loadAdapter(path) : undefined
    },
    async keepExact(arm, round, exact) {
      await keepAdapter(folder, stateFolder(arm, round), exact)
    },
    async items(place) {
      const file = folder.itemsFile(placeOf(place))
      return (await folder.finished(file)) ? readItems(file) : undefined
    },
    async keepItems(place, items) {
      const file = folder.itemsFile(placeOf(place))
      await writeAtomic(file, `${JSON.stringify(items)}\n`)
      await folder.finish(file)
    },
    async serverState(arm, round) {
      const names = folder.result(`server/${arm}/${round}`)
      if (!Array.isArray(names)) return undefined
      const state: Record<string, Adapter> = {}
      for (const name of names.map(String)) {
        const path = join(stateFolder(arm, round), name)
        if (!(await isFinished(folder, path))) return undefined
        state[name] = await loadAdapter(path)
      }
      return state
    },
    async keepServerState(arm, round, state) {
      for (const [name, adapter] of Object.entries(state))
        await keepAdapter(folder, join(stateFolder(arm, round), name), adapter)
      await folder.setResult(`server/${arm}/${round}`, Object.keys(state))
    },
    checkpoint: (arm, round, client) => `${updateFile(arm, round, client)}.checkpoint`,
    result: (key) => folder.result(key),
    keepResult: (key, value) => folder.setResult(key, value),
  }
}

/** Saves an adapter in a run folder and marks all of its files as finished. */
export async function keepAdapter(folder: RunFolder, path: string, adapter: Adapter): Promise<void> {
  await adapter.save(path)
  await folder.finish(...adapterFileNames(adapter).map((name) => join(path, name)))
}

/** Whether every file of an adapter that lies there is marked as finished and unchanged. */
export async function isFinished(folder: RunFolder, path: string): Promise<boolean> {
  const names = foundAdapterFiles(path)
  return names.length > 0 && (await folder.finished(...names.map((name) => join(path, name))))
}
