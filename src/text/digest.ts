import { createHash } from 'node:crypto'

/** SHA-256 in hexadecimal. */
export function sha256Of(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** SHA-256 over named parts; lengths are hashed too, so that no text can move from one part into the next. */
export function digestParts(parts: Iterable<readonly [name: string, content: string | Uint8Array]>): string {
  const hash = createHash('sha256')
  for (const [name, content] of parts) {
    const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content
    hash.update(`${name}:${bytes.length}\n`)
    hash.update(bytes)
  }
  return hash.digest('hex')
}
