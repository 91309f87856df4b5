/** Every form of the eight tiny adapters and models: what goes through another form comes back, and merging adds dW. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Conversion, convert, readAdapter } from '../../src/adapter/convert.js'
import { formOf } from '../../src/adapter/forms.js'
import { loadPeft } from '../../src/adapter/peft.js'
import { openModel } from '../../src/model/open.js'
import { relativeError } from './compare.js'
import { engineLogits } from './engine-logits.js'
import { sharedFile, skipReason } from './shared-files.js'

const cases = [
  ...['llama', 'llama_tied_bf16', 'llama3_rope', 'llama_rslora_q_v'],
  ...['mistral_sliding', 'qwen2', 'qwen3', 'gpt2'],
]
const FORMS = ['peft', 'mlx', 'gguf'] as const

const reason = skipReason('golden/tiny')
let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'formats-'))
})
afterAll(() => rm(scratch, { recursive: true }))

describe.skipIf(reason !== undefined).each(cases)('formats of %s', (name) => {
  const folder = join(sharedFile('golden/tiny') ?? '', name)
  const adapter = join(folder, 'adapter')
  // Mistral's window is 7 keys, and a GGUF file does not know it
  const ids = name === 'mistral_sliding' ? [5, 9, 100, 64, 3] : [5, 9, 100, 64, 3, 77, 1, 12, 8, 30]

  it('returns every factor through every pair of forms, bit for bit or with the reason why not', async () => {
    await using base = await openModel(join(folder, 'model'))
    const original = await loadPeft(adapter)
    const order = new Map(base.spec.linearLayers.map((layer, index) => [layer.name, index]))
    for (const first of FORMS) {
      const a = join(scratch, `${name}.${first}`)
      const told = (await convert(adapter, { to: first, out: a, base })).notes
      for (const second of FORMS) {
        const b = join(scratch, `${name}.${first}-${second}`)
        const notes = [...told, ...(await convert(a, { to: second, out: b, base })).notes]
        const back = await readAdapter(b, await formOf(b), base)
        const layers = [...back.layers].sort((l, r) => (order.get(l.name) ?? 0) - (order.get(r.name) ?? 0))
        const expected = [...original.layers].sort((l, r) => (order.get(l.name) ?? 0) - (order.get(r.name) ?? 0))
        expect(layers.map((layer) => layer.name)).toEqual(expected.map((layer) => layer.name))
        const folded = notes.some((note) => note.includes('B of'))
        const single = notes.some((note) => note.includes('single precision'))
        for (const [i, layer] of layers.entries()) {
          const was = expected[i]
          expect(layer.a.subarray(0, was?.a.length)).toEqual(was?.a)
          if (folded) continue
          // filled up with zeros, which forms.test.ts looks at
          if (notes.some((note) => note.includes('zeros')) && layer.rank !== was?.rank) continue
          expect(layer.rank).toBe(was?.rank)
          const ratio = layer.scale / (was?.scale ?? 0)
          // a power of two may have moved from the scale into B; both are exact
          const power = 2 ** Math.round(Math.log2(ratio))
          if (single) expect(Math.abs(ratio / power - 1)).toBeLessThan(6e-8)
          else expect(ratio).toBe(power)
          expect(layer.b.map((value) => value * power)).toEqual(was?.b)
        }
      }
    }
  })

  const kinds = [
    ['hf', 'folder'],
    ['gguf', 'model.gguf'],
  ] as const
  it.each(kinds)('merged in F32 into %s is base + adapter', async (to, file) => {
    await using base = await openModel(join(folder, 'model'))
    const loaded = await loadPeft(adapter)
    const out = join(scratch, `${name}.${file}`)
    const made = await convert(adapter, { to, out, base, merge: true })
    expect(made.survival?.share).toBeGreaterThan(0.9999)
    const [merged, beside, plain] = [
      await engineLogits(out, undefined, ids),
      await engineLogits(base, loaded, ids),
      await engineLogits(base, undefined, ids),
    ]
    expect(relativeError(merged, beside)).toBeLessThan(1e-5)
    expect(relativeError(plain, beside)).toBeGreaterThan(1e-3)
  })

  it('goes from a folder to GGUF and back to the same weights and numbers', async () => {
    const [gguf, back] = [join(scratch, `${name}.plain.gguf`), join(scratch, `${name}.back`)]
    const made = await convert(join(folder, 'model'), { to: 'gguf', out: gguf })
    const stretched = name === 'llama3_rope'
    const again: Conversion | Error = await convert(gguf, { to: 'hf', out: back }).catch((error: Error) => error)
    if (stretched) {
      expect(again).toMatchObject({ code: 'UNSUPPORTED', found: 'rope_freqs.weight' })
      return
    }
    await using first = await openModel(join(folder, 'model'))
    await using second = await openModel(back)
    if (name === 'mistral_sliding') {
      expect(made.notes.join()).toContain('window, 7 tokens')
      expect(second.spec.architecture).toBe('llama')
    } else expect(second.spec.shape).toEqual(first.spec.shape)
    expect(await engineLogits(second, undefined, ids)).toEqual(await engineLogits(first, undefined, ids))
  })

  it('in shards is the model in one file, and its index names every tensor', async () => {
    await using base = await openModel(join(folder, 'model'))
    const { writeModelFolder } = await import('../../src/adapter/write-merged.js')
    const [whole, shards] = [join(scratch, `${name}.whole`), join(scratch, `${name}.shards`)]
    const loaded = await loadPeft(adapter)
    await writeModelFolder(base, loaded, whole, { type: 'F32' })
    await writeModelFolder(base, loaded, shards, { type: 'F32', shardBytes: 60_000 })
    const files = await readdir(shards)
    expect(files.filter((file) => file.endsWith('.safetensors')).length).toBeGreaterThan(2)
    const index = JSON.parse(await readFile(join(shards, 'model.safetensors.index.json'), 'utf8')) as {
      weight_map: Record<string, string>
    }
    expect(Object.keys(index.weight_map)).toHaveLength(base.spec.tensors.length)
    await using one = await openModel(whole)
    await using many = await openModel(shards)
    expect((await many.id()).sha256).toBe((await one.id()).sha256)
  })
})
