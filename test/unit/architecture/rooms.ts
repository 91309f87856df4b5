/** Which room of the house every source file lies in, and which rooms it opens a door to. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

export const repository = fileURLToPath(new URL('../../..', import.meta.url))

/** Every file below `folder` with one of the endings, relative to it, with forward slashes. */
export function filesBelow(folder: string, endings: readonly string[]): string[] {
  const full = join(repository, folder)
  return (readdirSync(full, { recursive: true }) as string[])
    .filter((name) => endings.some((ending) => name.endsWith(ending)) && statSync(join(full, name)).isFile())
    .map((name) => name.replaceAll('\\', '/'))
    .sort()
}

/** The first folder of a path; a file that lies in no folder is a room of its own, named without its ending. */
export function roomOf(path: string): string {
  const [first, ...rest] = path.split('/')
  return rest.length > 0 ? first! : path.replace(/\.[a-z]+$/, '')
}

export interface Door {
  /** the file that imports, and what it names, both relative to the folder that was read */
  file: string
  target: string
  from: string
  to: string
}

const typescriptImport = /(?:\bfrom\s*|\bimport\s*\(?\s*)'(\.[^']*)'/g
const cppInclude = /^\s*#\s*include\s*"([^"]+)"/gm

/** Every import of one room from another in a TypeScript folder. */
export function typescriptDoors(folder: string): Door[] {
  return filesBelow(folder, ['.ts']).flatMap((file) => {
    const text = readFileSync(join(repository, folder, file), 'utf8')
    return [...text.matchAll(typescriptImport)].map(([, specifier]) => {
      const target = posix.normalize(posix.join(posix.dirname(file), specifier!))
      return { file, target, from: roomOf(file), to: roomOf(target) }
    })
  })
}

/** Every quoted include of one C++ room in another; paths are written from native/. */
export function cppDoors(folder: string): Door[] {
  return filesBelow(folder, ['.cc', '.h']).flatMap((file) => {
    const text = readFileSync(join(repository, folder, file), 'utf8')
    return [...text.matchAll(cppInclude)].map(([, target]) => ({
      file,
      target: target!,
      from: roomOf(file),
      to: roomOf(target!),
    }))
  })
}

/** Doors that lead upwards, or to a room that is not in the picture. `order` lists storeys from the top. */
export function wrongDoors(doors: readonly Door[], order: readonly (readonly string[])[]): string[] {
  const storey = new Map(order.flatMap((rooms, level) => rooms.map((room) => [room, level] as const)))
  return doors
    .filter(({ from, to }) => {
      if (from === to) return false
      const upper = storey.get(from)
      const lower = storey.get(to)
      return upper === undefined || lower === undefined || lower < upper
    })
    .map(({ file, target }) => `${file} imports ${target}`)
}

/** A way through rooms that ends where it began, or undefined. Rooms of one storey may know each other one way only. */
export function circle(doors: readonly Door[]): string[] | undefined {
  const next = new Map<string, Set<string>>()
  for (const { from, to } of doors) if (from !== to) next.set(from, (next.get(from) ?? new Set()).add(to))
  const done = new Set<string>()
  const walk = (room: string, way: readonly string[]): string[] | undefined => {
    const seen = way.indexOf(room)
    if (seen >= 0) return [...way.slice(seen), room]
    if (done.has(room)) return undefined
    for (const to of next.get(room) ?? []) {
      const found = walk(to, [...way, room])
      if (found !== undefined) return found
    }
    done.add(room)
    return undefined
  }
  for (const room of next.keys()) {
    const found = walk(room, [])
    if (found !== undefined) return found
  }
  return undefined
}
