/**
 * Files appear whole or not at all: a temporary file in the same folder, fsync, rename, fsync of the folder.
 * A process killed at any moment leaves the old file or the new one, and at most a `.tmp` file beside it.
 */
import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { OneroundError } from '../errors.js'

/** A whole content, its pieces, or what writes it piece by piece into the open file; where that fails, nothing is left behind. */
export type Content = Uint8Array | string | Iterable<Uint8Array> | ((handle: FileHandle) => Promise<void>)

/** Writes `content` to `file`, replacing what was there in one step. Folders above it are made. */
export async function writeAtomic(file: string, content: Content): Promise<void> {
  await withIoErrors(file, () =>
    inFolder(dirname(file), async () => {
      const temporary = await writeTemporary(file, content)
      await placeTemporary(temporary, file)
      await syncFolder(dirname(file))
    }),
  )
}

/**
 * Writes several files of one folder so that the last one seals the others: it is taken away first and placed last,
 * and a folder without it does not count as written.
 * @param outdated names of files that mean something else beside these and are taken away with the old seal
 */
export async function writeSealed(
  folder: string,
  files: readonly (readonly [name: string, content: Content])[],
  outdated: readonly string[] = [],
): Promise<void> {
  const seal = files.at(-1)
  if (seal === undefined) return
  await withIoErrors(folder, () =>
    inFolder(folder, async () => {
      const temporaries: [string, string][] = []
      try {
        for (const [name, content] of files) {
          const file = join(folder, name)
          temporaries.push([await writeTemporary(file, content), file])
        }
        for (const name of [seal[0], ...outdated]) await rm(join(folder, name), { force: true })
        await syncFolder(folder)
        for (const [temporary, file] of temporaries) await rename(temporary, file)
      } catch (error) {
        for (const [temporary] of temporaries) await rm(temporary, { force: true })
        throw error
      }
      await syncFolder(folder)
    }),
  )
}

/** Works in a folder, which is made; one that was made for nothing is taken away again, with those above it. */
async function inFolder(folder: string, work: () => Promise<void>): Promise<void> {
  const made = await mkdir(folder, { recursive: true })
  try {
    await work()
  } catch (error) {
    if (made !== undefined) await removeEmpty(resolve(folder), resolve(made))
    throw error
  }
}

/** Removes `folder` and those above it up to `last`, as long as they are empty. */
async function removeEmpty(folder: string, last: string): Promise<void> {
  try {
    for (let at = folder; at.startsWith(last); at = dirname(at)) await rmdir(at)
  } catch {
    // somebody else's file lies there, and stays
  }
}

async function writeTemporary(file: string, content: Content): Promise<string> {
  const temporary = join(dirname(file), `.${basename(file)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`)
  try {
    const handle = await open(temporary, 'wx')
    try {
      if (typeof content === 'function') await content(handle)
      else if (typeof content === 'string' || content instanceof Uint8Array) await handle.writeFile(content)
      else for (const piece of content) await handle.writeFile(piece)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  return temporary
}

async function placeTemporary(temporary: string, file: string): Promise<void> {
  try {
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** Makes a rename durable. Some file systems cannot sync a folder; the rename is then still atomic. */
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined
  try {
    handle = await open(folder, 'r')
    await handle.sync()
  } catch (error) {
    if (!isCode(error, 'EINVAL', 'EISDIR', 'EPERM', 'ENOTSUP', 'EACCES')) throw error
  } finally {
    await handle?.close()
  }
}

/** True where `error` is a file-system error with one of the given codes. */
export function isCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code)
}

async function withIoErrors<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof OneroundError) throw error
    throw new OneroundError('IO', `Could not write ${path}.`, {
      found: error instanceof Error ? error.message : String(error),
      expected: 'a folder that can be written, with room on the disk',
      fix: 'Choose another output folder, or free space and check its permissions.',
      cause: error,
    })
  }
}
