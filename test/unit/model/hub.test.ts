import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fetchModel, type HubOptions } from '../../../src/model/hub.js'
import { parseHubAddress } from '../../../src/model/hub-address.js'
import { cacheFolder } from '../../../src/model/hub-cache.js'
import { hubFile } from '../../../src/model/hub-files.js'
import { openModel } from '../../../src/model/open.js'
import { filesBelow, repository } from '../architecture/rooms.js'
import { COMMIT, type FakeFile, type FakeHub, fakeHub } from './hub-server.js'

const small = (text: string): FakeFile => ({ bytes: Buffer.from(text) })
const large = (bytes: number): FakeFile => ({ bytes: Buffer.alloc(bytes, 'weights '), large: true })

let cache: string
let hub: FakeHub
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'oneround-hub-'))
  hub = await fakeHub({
    'config.json': small('{"model_type":"llama"}'),
    'tokenizer.json': small('{}'),
    'README.md': small('not needed'),
    'model.safetensors': large(300_000),
    'pytorch_model.bin': large(1000),
  })
})
afterEach(async () => {
  await hub.close()
  await rm(cache, { recursive: true, force: true })
})

const options = (o: HubOptions = {}): HubOptions => ({ cache, hubUrl: hub.url, ...o })
const refusal = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error)
const leftovers = async (): Promise<string[]> =>
  (await readdir(cache, { recursive: true })).filter((name) => name.endsWith('.tmp'))

describe('a model of the hub', () => {
  it('is fetched into the cache: what a model needs, byte by byte', async () => {
    const folder = await fetchModel('hub:owner/model', options())
    expect((await readdir(folder)).sort()).toEqual([
      'complete.json',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
    ])
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(hub.files.get('model.safetensors')?.bytes)
    expect(await leftovers()).toEqual([])
  })

  it('tells its progress in bytes', async () => {
    const seen: number[] = []
    let whole = 0
    const onProgress = ({ done, total }: { done: number; total: number }): void => {
      seen.push(done)
      whole = total
    }
    await fetchModel('hub:owner/model', options({ onProgress }))
    expect(whole).toBe(300_000 + 22 + 2)
    expect(seen.at(-1)).toBe(whole)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
  })

  it('that is cached needs no file again, and none of the network where a commit is named', async () => {
    const first = await fetchModel('hub:owner/model', options())
    const before = hub.asked.length
    expect(await fetchModel('hub:owner/model@main', options())).toBe(first)
    expect(hub.asked.slice(before)).toEqual(['GET /api/models/owner/model/revision/main'])
    await hub.close()
    expect(await fetchModel(`hub:owner/model@${COMMIT}`, options())).toBe(first)
    expect(await fetchModel('hub:owner/model', options())).toBe(first)
  })

  it('goes on with the files that are missing', async () => {
    const weights = hub.files.get('model.safetensors') as FakeFile
    hub.files.set('model.safetensors', { ...weights, torn: 1000 })
    expect(await refusal(fetchModel('hub:owner/model', options()))).toMatchObject({ name: 'OneroundError' })
    expect(await leftovers()).toEqual([])
    hub.files.set('model.safetensors', weights)
    const before = hub.asked.length
    await fetchModel('hub:owner/model', options())
    const again = hub.asked.slice(before).filter((path) => path.includes('/resolve/'))
    expect(new Set(again)).toEqual(new Set([`GET /owner/model/resolve/${COMMIT}/model.safetensors`]))
  })

  it('is fetched again where a cached file lost bytes', async () => {
    const folder = await fetchModel('hub:owner/model', options())
    await writeFile(join(folder, 'model.safetensors'), 'short')
    await fetchModel(`hub:owner/model@${COMMIT}`, options())
    expect((await readFile(join(folder, 'model.safetensors'))).length).toBe(300_000)
  })

  it.each(['model.safetensors', 'config.json'])('with a corrupt %s is refused and not kept', async (name) => {
    const file = hub.files.get(name) as FakeFile
    const sent = Buffer.from(file.bytes)
    sent.writeUInt8(sent.readUInt8(7) ^ 1, 7)
    hub.files.set(name, { ...file, sent })
    const failure = await refusal(fetchModel('hub:owner/model', options()))
    expect(failure).toMatchObject({ code: 'MALFORMED', message: expect.stringContaining(name) })
    const kept = (await readdir(cache, { recursive: true })).map((path) => path.split('/').at(-1))
    expect(kept).not.toContain(name)
    expect(kept).not.toContain('complete.json')
    expect(await leftovers()).toEqual([])
  })

  it('that sends more or fewer bytes than it lists is refused', async () => {
    const file = hub.files.get('model.safetensors') as FakeFile
    for (const sent of [Buffer.alloc(400_000), Buffer.alloc(10)]) {
      hub.files.set('model.safetensors', { ...file, sent })
      expect(await refusal(fetchModel('hub:owner/model', options()))).toMatchObject({ code: 'MALFORMED' })
    }
  })

  it('without that revision is not found, in the words of the hub', async () => {
    expect(await refusal(fetchModel('hub:owner/model@v9', options()))).toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('hub:owner/model@v9'),
      found: expect.stringContaining('Invalid rev id: v9'),
    })
  })

  it('that is private or not there is not given out', async () => {
    expect(await refusal(fetchModel('hub:owner/secret', options()))).toMatchObject({
      code: 'NOT_FOUND',
      found: 'status 401',
    })
  })

  it('without a network is one sentence', async () => {
    const closed = createServer()
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
    const { port } = closed.address() as AddressInfo
    await new Promise((resolve) => closed.close(resolve))
    const failure = await refusal(fetchModel('hub:owner/model', options({ hubUrl: `http://127.0.0.1:${port}` })))
    expect(failure).toMatchObject({
      code: 'IO',
      message: 'The hub cannot be reached, and hub:owner/model is not in the cache.',
      found: expect.stringContaining('ECONNREFUSED'),
    })
  })

  it('is opened from the cache by openModel', async () => {
    const failure = await refusal(openModel('hub:owner/model', options()))
    // this hub's weights are no weights: the refusal is of the very file in the cache
    expect(failure).toMatchObject({
      name: 'OneroundError',
      message: expect.stringContaining(join('owner--model', COMMIT)),
    })
  })

  it('hears an abort', async () => {
    const controller = new AbortController()
    const fetching = fetchModel(
      'hub:owner/model',
      options({ signal: controller.signal, onProgress: () => controller.abort() }),
    )
    expect(await refusal(fetching)).toMatchObject({ code: 'ABORTED' })
    expect(await leftovers()).toEqual([])
  })
})

describe('GGUF files', () => {
  it('one is taken, of several one has to be named', async () => {
    hub.files.delete('model.safetensors')
    hub.files.set('a.gguf', large(5000))
    expect(await fetchModel('hub:owner/model', options())).toMatch(/a\.gguf$/)
    hub.files.set('b.gguf', large(6000))
    await rm(cache, { recursive: true })
    expect(await refusal(fetchModel('hub:owner/model', options()))).toMatchObject({
      code: 'ARGUMENT',
      found: 'a.gguf, b.gguf',
    })
    const named = await fetchModel('hub:owner/model/b.gguf', options())
    expect((await readFile(named)).length).toBe(6000)
    expect(await refusal(fetchModel('hub:owner/model/c.gguf', options()))).toMatchObject({ code: 'NOT_FOUND' })
  })

  it('shards come with their index', async () => {
    hub.files.delete('model.safetensors')
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
    for (const name of shards) hub.files.set(name, large(100))
    hub.files.set('model.safetensors.index.json', small('{}'))
    const folder = await fetchModel('hub:owner/model', options())
    expect(await readdir(folder)).toEqual(expect.arrayContaining([...shards, 'model.safetensors.index.json']))
  })

  it('a repository without a model is refused with what it holds', async () => {
    hub.files.delete('model.safetensors')
    expect(await refusal(fetchModel('hub:owner/model', options()))).toMatchObject({
      code: 'NOT_FOUND',
      found: expect.stringContaining('pytorch_model.bin'),
    })
  })
})

describe('addresses and listings', () => {
  it.each([
    ['hub:a/b', { repository: 'a/b', revision: 'main' }],
    ['hub:a/b@refs/pr/1', { repository: 'a/b', revision: 'refs/pr/1' }],
    ['hub:a/b/c.gguf@v1.0', { repository: 'a/b', revision: 'v1.0', file: 'c.gguf' }],
  ])('%s is read', (source, address) => {
    expect(parseHubAddress(source)).toEqual(address)
  })

  it.each([
    'hub:',
    'hub:a',
    'hub:a/b/c',
    'hub:../b',
    'hub:a/..',
    'hub:a/b/..gguf',
    'hub:a/b@',
    'hub:a/b@../c',
    'hub:a/b@x@y',
    'hub:a b/c',
    'hub:a/b/c/d.gguf',
    'hub:a/b?x',
  ])('%s is refused', (source) => {
    expect(() => parseHubAddress(source)).toThrowError(expect.objectContaining({ code: 'ARGUMENT' }))
  })

  it('two revisions are refused', () => {
    expect(parseHubAddress('hub:a/b', 'v1').revision).toBe('v1')
    expect(() => parseHubAddress('hub:a/b@v1', 'v2')).toThrowError(expect.objectContaining({ code: 'ARGUMENT' }))
  })

  it('a name that leads elsewhere is passed over, an entry without a digest refused', () => {
    const entry = { type: 'file', size: 1, oid: 'a'.repeat(40) }
    for (const path of ['../config.json', '/etc/passwd', '.hidden', 'a/b.safetensors', 'a\\b']) {
      expect(hubFile({ ...entry, path }, 'a/b')).toBeUndefined()
    }
    for (const bad of [{ oid: 'x' }, { size: -1 }, { size: 1.5 }, { lfs: { oid: 'a'.repeat(40), size: 1 } }]) {
      expect(() => hubFile({ ...entry, path: 'a.json', ...bad }, 'a/b')).toThrowError(
        expect.objectContaining({ code: 'MALFORMED' }),
      )
    }
  })

  it('the cache is where the user says', () => {
    expect(cacheFolder({ ONEROUND_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a')
    expect(cacheFolder({ XDG_CACHE_HOME: '/b' })).toBe(join('/b', 'oneround'))
    expect(cacheFolder({})).toMatch(/oneround$/)
  })
})

it('no other file of the package opens a socket', () => {
  const socket = /\bfetch\s*\(|['"](?:node:)?(?:net|http|https|http2|tls|dgram)['"]|\bWebSocket\b|@huggingface\/hub/
  const opening = filesBelow('src', ['.ts']).filter((file) =>
    socket.test(readFileSync(join(repository, 'src', file), 'utf8')),
  )
  expect(opening).toEqual(['model/hub-library.ts', 'model/hub.ts'])
})
