/** A hub on this machine that takes commits: it makes a repository, says how each file is to be sent, and keeps them. */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface PushHub {
  url: string
  /** of the last commit, by name */
  files: Map<string, Buffer>
  message: string
  /** every Authorization header that came */
  tokens: Set<string>
  /** bodies of questions and their addresses, as text */
  heard: string[]
  close(): Promise<void>
}

export async function pushHub(status = 200): Promise<PushHub> {
  const blobs = new Map<string, Buffer>()
  const hub: PushHub = { url: '', files: new Map(), message: '', tokens: new Set(), heard: [], close: async () => {} }
  const server = createServer(async (request, response) => {
    const body = await bodyOf(request)
    const path = decodeURIComponent(request.url ?? '')
    hub.tokens.add(request.headers.authorization ?? '')
    hub.heard.push(`${request.method} ${path}`)
    if (status !== 200) return json(response, status, { error: `not for ${request.headers.authorization}` })
    if (path === '/api/repos/create') return json(response, 409, { error: 'You already created this model repo' })
    if (path.includes('/preupload/')) {
      const asked = JSON.parse(body.toString()) as { files: { path: string }[] }
      const mode = (name: string) => (name.endsWith('.safetensors') ? 'lfs' : 'regular')
      return json(response, 200, { files: asked.files.map((file) => ({ ...file, uploadMode: mode(file.path) })) })
    }
    if (path.endsWith('/info/lfs/objects/batch')) {
      const asked = JSON.parse(body.toString()) as { objects: { oid: string; size: number }[] }
      const upload = (oid: string) => ({ upload: { href: `${hub.url}/blob/${oid}` } })
      return json(response, 200, {
        transfer: 'basic',
        objects: asked.objects.map((o) => ({ ...o, actions: upload(o.oid) })),
      })
    }
    if (path.startsWith('/blob/')) {
      blobs.set(createHash('sha256').update(body).digest('hex'), body)
      return json(response, 200, {})
    }
    if (path.includes('/commit/')) {
      for (const line of body.toString().trim().split('\n')) take(hub, blobs, JSON.parse(line) as Line)
      return json(response, 200, { commitOid: 'abcd', commitUrl: `${hub.url}/commit`, success: true, hookOutput: '' })
    }
    return json(response, 404, { error: 'Not found' })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  hub.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  hub.close = () => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(() => resolve()))
  }
  return hub
}

interface Line {
  key: 'header' | 'file' | 'lfsFile'
  value: { summary?: string; path?: string; content?: string; oid?: string }
}

function take(hub: PushHub, blobs: ReadonlyMap<string, Buffer>, { key, value }: Line): void {
  if (key === 'header') hub.message = value.summary ?? ''
  else if (key === 'file') hub.files.set(value.path ?? '', Buffer.from(value.content ?? '', 'base64'))
  else hub.files.set(value.path ?? '', blobs.get(value.oid ?? '') ?? Buffer.alloc(0))
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

function json(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value))
}
