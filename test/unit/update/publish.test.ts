/** Adapters to a hub and back, against hubs on this machine. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeAdapter } from '../../../src/adapter/adapter.js'
import { loadPeft } from '../../../src/adapter/peft.js'
import { hubToken } from '../../../src/model/hub-token.js'
import { adapterSha256 } from '../../../src/update/digest.js'
import { parsePlan, planSha256 } from '../../../src/update/plan.js'
import { publish, pull } from '../../../src/update/publish.js'
import { type FakeHub, fakeHub } from '../model/hub-server.js'
import { planJson } from './fixture.js'
import { type PushHub, pushHub } from './push-server.js'

const TOKEN = 'hf_secretsecret'
let folder: string
let hub: PushHub | FakeHub | undefined
const before = { ...process.env }
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'publish-'))
  process.env.HF_TOKEN = TOKEN
})
afterEach(async () => {
  process.env = { ...before }
  await hub?.close()
  hub = undefined
  await rm(folder, { recursive: true })
})

/** Closed after the test. */
function opened<T extends PushHub | FakeHub>(server: T): T {
  hub = server
  return server
}

async function saved(method = 'svd') {
  const a = Float32Array.of(1, 2, 3)
  const layers = [{ name: 'm.q', in: 3, out: 2, rank: 1, scale: 2, a, b: Float32Array.of(4, 5) }]
  const adapter = makeAdapter(layers, [], { base: 'owner/base', method })
  const path = join(folder, 'adapter')
  await adapter.save(path)
  return { adapter, path }
}

describe('pushing an adapter', () => {
  it('sends its files and a card with base, method, number of clients and hashes, but no names', async () => {
    const taken = opened(await pushHub())
    const { adapter, path } = await saved()
    const clients = [{ name: 'northern-clinic' }, { name: 'southern-clinic' }]
    const plan = parsePlan({ ...planJson(), clients })
    const result = await publish(path, 'hub:owner/adapter', { hubUrl: taken.url, plan, verdict: 'one round is enough' })
    expect(result).toMatchObject({ repository: 'owner/adapter', commit: 'abcd', notes: [] })
    expect([...taken.files.keys()].sort()).toEqual(['README.md', 'adapter_config.json', 'adapter_model.safetensors'])
    const file = taken.files.get('adapter_model.safetensors')
    expect(file).toEqual(await readFile(join(path, 'adapter_model.safetensors')))
    const card = taken.files.get('README.md')?.toString() ?? ''
    for (const text of [
      'base_model: owner/base',
      adapterSha256(adapter),
      planSha256(plan),
      plan.base.sha256,
      'svd',
      'one round is enough',
    ]) {
      expect(card).toContain(text)
    }
    expect(card).toContain('| Clients | 2 |')
    expect(card).not.toContain('clinic')
    expect([...taken.tokens]).toContain(`Bearer ${TOKEN}`)
  })

  it('warns that a stacked adapter holds every client verbatim', async () => {
    const taken = opened(await pushHub())
    const { path } = await saved('stack')
    const { notes } = await publish(path, 'hub:owner/adapter', { hubUrl: taken.url })
    expect(notes.join()).toContain('verbatim')
    expect(taken.files.get('README.md')?.toString()).toContain('verbatim')
  })

  it('needs a token, and repeats it in no error', async () => {
    const taken = opened(await pushHub(403))
    const { path } = await saved()
    const refused: unknown = await publish(path, 'hub:owner/adapter', { hubUrl: taken.url }).catch(
      (error: unknown) => error,
    )
    expect(refused).toMatchObject({ code: 'REFUSED' })
    const error = refused as Error & { found?: string }
    expect(`${error.message} ${error.found} ${error.stack}`).not.toContain(TOKEN)
    delete process.env.HF_TOKEN
    process.env.HF_TOKEN_PATH = join(folder, 'no-token')
    const asked = taken.heard.length
    await expect(publish(path, 'hub:owner/adapter', { hubUrl: taken.url })).rejects.toMatchObject({ code: 'REFUSED' })
    expect(taken.heard).toHaveLength(asked)
  })

  it('refuses what is no adapter', async () => {
    await expect(publish(folder, 'hub:owner/adapter')).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    await expect(publish((await saved()).path, 'owner/adapter')).rejects.toMatchObject({ code: 'ARGUMENT' })
  })
})

describe('the token', () => {
  it('is HF_TOKEN, else the file of the hub’s own tools', async () => {
    expect(await hubToken({ HF_TOKEN: 'a' })).toBe('a')
    expect(await hubToken({ HF_HOME: folder })).toBeUndefined()
  })
})

describe('pulling an adapter', () => {
  it('fetches, reads through and writes it', async () => {
    const { adapter, path } = await saved()
    const file = async (name: string, large = false) => ({ bytes: await readFile(join(path, name)), large })
    const there = opened(
      await fakeHub({
        'adapter_config.json': await file('adapter_config.json'),
        'adapter_model.safetensors': await file('adapter_model.safetensors', true),
        'README.md': { bytes: Buffer.from('# card') },
        'training_args.bin': { bytes: Buffer.from('not needed') },
      }),
    )
    const out = join(folder, 'pulled')
    await pull('hub:owner/model', out, { hubUrl: there.url, cache: join(folder, 'cache') })
    expect((await readdir(out)).sort()).toEqual(['README.md', 'adapter_config.json', 'adapter_model.safetensors'])
    expect(adapterSha256(await loadPeft(out))).toBe(adapterSha256(adapter))
  })

  it('leaves nothing where the adapter is broken or absent', async () => {
    const { path } = await saved()
    const config = await readFile(join(path, 'adapter_config.json'))
    const out = join(folder, 'pulled')
    const broken = opened(
      await fakeHub({
        'adapter_config.json': { bytes: config },
        'adapter_model.safetensors': { bytes: Buffer.from('nothing'), large: true },
      }),
    )
    const o = { hubUrl: broken.url, cache: join(folder, 'cache') }
    await expect(pull('hub:owner/model', out, o)).rejects.toMatchObject({ code: 'MALFORMED' })
    await broken.close()
    const absent = opened(await fakeHub({ 'model.safetensors': { bytes: Buffer.from('x') } }))
    const other = { hubUrl: absent.url, cache: join(folder, 'other') }
    await expect(pull('hub:owner/model', out, other)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect((await readdir(folder)).includes('pulled')).toBe(false)
  })
})
