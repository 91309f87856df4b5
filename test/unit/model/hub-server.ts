/** A hub on this machine: the three addresses that fetching a model asks for, and what can go wrong with them. */
import { createHash } from 'node:crypto'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export const COMMIT = 'c0ffee'.padEnd(40, '0')

export interface FakeFile {
  bytes: Buffer
  /** listed with a SHA-256, as large files are; else with git's blob id */
  large?: boolean
  /** what is sent instead */
  sent?: Buffer
  /** the connection ends after this many bytes */
  torn?: number
}

export interface FakeHub {
  url: string
  /** every request, `METHOD path` */
  asked: string[]
  files: Map<string, FakeFile>
  close(): Promise<void>
}

export async function fakeHub(files: Record<string, FakeFile>): Promise<FakeHub> {
  const asked: string[] = []
  const held = new Map(Object.entries(files))
  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '').split('?')[0] ?? '')
    asked.push(`${request.method} ${path}`)
    const [, revision] = /^\/api\/models\/owner\/model\/revision\/(.+)$/.exec(path) ?? []
    if (revision !== undefined) {
      if (revision !== 'main' && revision !== COMMIT) return refuse(response, 404, `Invalid rev id: ${revision}`)
      return json(response, { _id: '1', id: 'owner/model', sha: COMMIT, lastModified: '2026-01-01T00:00:00Z' })
    }
    if (path === `/api/models/owner/model/tree/${COMMIT}`) return json(response, [...held].map(entry))
    const [, name] = new RegExp(`^/owner/model/resolve/${COMMIT}/(.+)$`).exec(path) ?? []
    const file = name === undefined ? undefined : held.get(name)
    if (file === undefined) return refuse(response, 401, 'Repository not found')
    send(response, file, request.headers.range)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, asked, files: held, close: () => stop(server) }
}

function stop(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}

function entry([path, { bytes, large }]: [string, FakeFile]): object {
  const blob = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const lfs = { oid: sha256, size: bytes.length, pointerSize: 130 }
  return { type: 'file', path, size: bytes.length, oid: blob, ...(large ? { lfs } : {}) }
}

function send(response: ServerResponse, { bytes, sent = bytes, torn }: FakeFile, range: string | undefined): void {
  const etag = { etag: '"tag"', 'content-type': 'application/octet-stream' }
  if (range !== undefined) {
    response.writeHead(206, { ...etag, 'content-range': `bytes 0-0/${sent.length}`, 'content-length': 1 })
    response.end(sent.subarray(0, 1))
    return
  }
  response.writeHead(200, { ...etag, 'content-length': sent.length })
  if (torn === undefined) response.end(sent)
  else response.write(sent.subarray(0, torn), () => response.destroy())
}

function json(response: ServerResponse, value: object): void {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value))
}

function refuse(response: ServerResponse, status: number, error: string): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ error }))
}
