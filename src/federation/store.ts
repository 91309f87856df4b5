import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '../adapter/adapter.js'
import { adapterFileNames, foundAdapterFiles, loadAdapter } from '../adapter/folder.js'
import { writeAtomic } from '../run/atomic.js'
import type { RunFolder } from '../run/folder.js'
import { readItems } from './items.js'
import type { ItemLosses } from './judge.js'

/** An update on its way to the server, and what it cost. */
export interface Sent {
  /** the update's bytes, or the file that holds them: full updates of many clients need not lie in memory together */
  source: Uint8Array | string
  /** length of the update */
  bytes: number
  /** of training */
  seconds: number
}

/** Who carries files between clients and server: memory, or a run folder that survives a kill. */
export interface Store {
  update(arm: string, round: number, client: string): Promise<Sent | undefined>
  /** Takes the bytes of a new update; gives back where they are now. */
  keepUpdate(arm: string, round: number, client: string, bytes: Uint8Array, seconds: number): Promise<Sent>
  /** the exact aggregate after a round */
  exact(arm: string, round: number): Promise<Adapter | undefined>
  keepExact(arm: string, round: number, exact: Adapter): Promise<void>
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
  const results = new Map<string, unknown>()
  return {
    update: async (...place) => updates.get(place.join('/')),
    async keepUpdate(arm, round, client, source, seconds) {
      const sent = { source, bytes: source.byteLength, seconds }
      updates.set([arm, round, client].join('/'), sent)
      return sent
    },
    exact: async (...place) => exacts.get(place.join('/')),
    keepExact: async (arm, round, exact) => void exacts.set([arm, round].join('/'), exact),
    checkpoint: () => undefined,
    items: async (place) => items.get(place),
    keepItems: async (place, losses) => void items.set(place, losses),
    result: (key) => results.get(key),
    keepResult: async (key, value) => void results.set(key, value),
  }
}

/** A run folder: a file counts only when its digest stands in the folder's state, so nothing half-written is taken for whole. */
export function folderStore(folder: RunFolder): Store {
  return {
    async update(arm, round, client) {
      const file = folder.updateFile(arm, round, client)
      if (!(await folder.finished(file))) return undefined
      const seconds = folder.result(`seconds/${arm}/${round}/${client}`)
      const { size } = await stat(file)
      return { source: file, bytes: size, seconds: typeof seconds === 'number' ? seconds : Number.NaN }
    },
    async keepUpdate(arm, round, client, bytes, seconds) {
      const file = folder.updateFile(arm, round, client)
      await writeAtomic(file, bytes)
      await folder.setResult(`seconds/${arm}/${round}/${client}`, seconds)
      await folder.finish(file)
      return { source: file, bytes: bytes.byteLength, seconds }
    },
    async exact(arm, round) {
      const path = folder.stateFolder(arm, round)
      return (await isFinished(folder, path)) ? loadAdapter(path) : undefined
    },
    async keepExact(arm, round, exact) {
      const path = folder.stateFolder(arm, round)
      await keepAdapter(folder, path, exact)
    },
    async items(place) {
      const file = folder.itemsFile(place)
      return (await folder.finished(file)) ? readItems(file) : undefined
    },
    async keepItems(place, items) {
      const file = folder.itemsFile(place)
      await writeAtomic(file, `${JSON.stringify(items)}\n`)
      await folder.finish(file)
    },
    checkpoint: (arm, round, client) => `${folder.updateFile(arm, round, client)}.checkpoint`,
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
