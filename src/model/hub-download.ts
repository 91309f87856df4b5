/** One file into the cache: written beside its place, hashed on the way, and moved there only where the digest is right. */
import { createHash, type Hash, randomBytes } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { OneroundError } from '../errors.js'
import { sizeOf } from './hub-cache.js'
import type { HubFile } from './hub-files.js'

const READ = 1 << 20

/** Where bytes come from; a hub, or a test. */
type OpenStream = (file: HubFile) => Promise<ReadableStream<Uint8Array>>

/**
 * @param onBytes called with the number of bytes after each piece
 * @throws OneroundError MALFORMED where what came is not what the listing says; ABORTED, IO
 */
export async function fetchFile(
  file: HubFile,
  folder: string,
  source: OpenStream,
  o: { signal?: AbortSignal | undefined; onBytes?: (bytes: number) => void },
): Promise<void> {
  const place = join(folder, file.name)
  if (await isThere(file, place)) {
    o.onBytes?.(file.bytes)
    return
  }
  await mkdir(dirname(place), { recursive: true })
  const temporary = join(folder, `.${file.name}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`)
  const hash = startHash(file)
  let total = 0
  try {
    const handle = await open(temporary, 'wx')
    try {
      for await (const piece of await source(file)) {
        if (o.signal?.aborted) throw aborted(o.signal)
        total += piece.length
        if (total > file.bytes) throw wrong(file, `more than ${file.bytes} bytes`, `${file.bytes} bytes`)
        hash.update(piece)
        await handle.writeFile(piece)
        o.onBytes?.(piece.length)
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (total !== file.bytes) throw wrong(file, `${total} bytes`, `${file.bytes} bytes`)
    const found = hash.digest('hex')
    if (found !== file.digest.hex) throw wrong(file, `digest ${found}`, `digest ${file.digest.hex}`)
    await rename(temporary, place)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** A file of an earlier, unfinished call: whole where its bytes still have the digest. */
async function isThere(file: HubFile, place: string): Promise<boolean> {
  if ((await sizeOf(place)) !== file.bytes) return false
  const hash = startHash(file)
  const handle = await open(place, 'r')
  try {
    const buffer = Buffer.allocUnsafe(READ)
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, READ)
      if (bytesRead === 0) break
      hash.update(buffer.subarray(0, bytesRead))
    }
  } finally {
    await handle.close()
  }
  return hash.digest('hex') === file.digest.hex
}

/** git's id of a blob is the SHA-1 of a header and the bytes (git-scm.com/book, "Git Internals - Git Objects"). */
function startHash({ digest, bytes }: HubFile): Hash {
  return digest.kind === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`)
}

function wrong({ name }: HubFile, found: string, expected: string): OneroundError {
  return new OneroundError('MALFORMED', `${name} did not arrive as the hub lists it.`, {
    found,
    expected,
    fix: 'Try again; nothing of the file was kept.',
  })
}

export function aborted(signal: AbortSignal): OneroundError {
  return new OneroundError('ABORTED', 'Fetching the model was stopped.', {
    fix: 'Start it again; files that had arrived are kept.',
    cause: signal.reason,
  })
}
