/** transformers + PEFT and llama.cpp load what we write, and compute what our engine computes. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeAdapter } from '../../src/adapter/adapter.js'
import { convert } from '../../src/adapter/convert.js'
import { floatsOf } from '../../src/adapter/floats.js'
import { loadPeft } from '../../src/adapter/peft.js'
import { openModel } from '../../src/model/open.js'
import { readSafetensors } from '../../src/model/safetensors.js'
import { engineLogits, lastLogProbabilities } from '../golden/engine-logits.js'
import { sharedFile, skipReason } from '../golden/shared-files.js'
import { madeUpTokenizer } from './made-up-tokenizer.js'
import { missingPeer, peerLlamaCpp, peerPython, runPeer } from './peers.js'

const cases = [
  ...['llama', 'llama_tied_bf16', 'llama3_rope', 'llama_rslora_q_v'],
  ...['mistral_sliding', 'qwen2', 'qwen3', 'gpt2'],
]
const SMOL = 'models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf'
const SMOL_ADAPTER = 'golden/smollm2_all_r8/adapter_final.safetensors'
const SMOL_IDS = [504, 3575, 282, 4649, 314, 260]
/** Mistral's window is 7 keys, and a GGUF file does not know it. */
const idsOf = (name: string) => (name === 'mistral_sliding' ? [5, 9, 100, 64] : [5, 9, 100, 64, 3, 77, 1, 12, 8, 30])
const stepsOf = (name: string) => (name === 'mistral_sliding' || name === 'smollm2' ? 3 : 8)

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const missing = skipReason('golden/tiny', SMOL, SMOL_ADAPTER)
const python = peerPython()
const llamaCpp = peerLlamaCpp()
const minutes = 60_000

let scratch: string
const tiny = (name: string, part: string) => join(sharedFile('golden/tiny') ?? '', name, part)
const at = (...parts: string[]) => join(scratch, ...parts)

interface Subject {
  name: string
  base: string
  /** as savePeft wrote it */
  adapter: string
  ids: number[]
}
const subjects: Subject[] = []

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'peers-'))
  if (missing !== undefined || (python === undefined && llamaCpp === undefined)) return
  for (const name of cases) {
    const adapter = at(`${name}.adapter`)
    await (await loadPeft(tiny(name, 'adapter'))).save(adapter)
    // the bf16 case's reference rounds its rope too; as a file it is a plain bf16 model
    subjects.push({ name, base: tiny(name, 'model'), adapter, ids: idsOf(name) })
  }
  await saveSmolAdapter(at('smol.adapter'))
  await convert(sharedFile(SMOL) ?? '', { to: 'hf', out: at('smol') })
  subjects.push({ name: 'smollm2', base: at('smol'), adapter: at('smol.adapter'), ids: SMOL_IDS })
}, 5 * minutes)
afterAll(() => rm(scratch, { recursive: true }))

async function saveSmolAdapter(folder: string): Promise<void> {
  const { tensors } = await readSafetensors(sharedFile(SMOL_ADAPTER) ?? '')
  const layers = [...tensors].flatMap(([key, a]) => {
    const [, name] = /^base_model\.model\.(.+)\.lora_A\.weight$/.exec(key) ?? []
    const b = tensors.get(key.replace('lora_A', 'lora_B'))
    if (name === undefined || b === undefined) return []
    const [rank = 0, inputs = 0] = a.shape
    const [out = 0] = b.shape
    return [{ name, in: inputs, out, rank, scale: 16 / rank, a: floatsOf(a, key), b: floatsOf(b, key) }]
  })
  await makeAdapter(layers).save(folder)
}

const noPython = missing ?? missingPeer('Python with transformers and PEFT', python)
describe.skipIf(noPython !== undefined)('transformers and PEFT', () => {
  const largest = (found: Float32Array, expected: Float32Array) =>
    expected.reduce((most, value, i) => Math.max(most, Math.abs(value - (found[i] ?? Number.NaN))), 0)

  it(
    'load our PEFT folders and merged folders with our logits within 1e-4',
    async () => {
      const asked: { base: string; adapter: string | null; ids: number[]; out: string }[] = []
      for (const { name, base, adapter, ids } of subjects) {
        await using model = await openModel(base)
        const merged = at(`${name}.merged`)
        await convert(adapter, { to: 'hf', out: merged, base: model, merge: true })
        asked.push({ base, adapter, ids, out: at(`${name}.peft.f32`) })
        asked.push({ base: merged, adapter: null, ids, out: at(`${name}.merged.f32`) })
      }
      runPeer(python ?? '', [here('transformers_logits.py')], JSON.stringify(asked))
      for (const { name, base, adapter, ids } of subjects) {
        const ours = await engineLogits(base, await loadPeft(adapter), ids)
        for (const kind of ['peft', 'merged']) {
          const bytes = await readFile(at(`${name}.${kind}.f32`))
          const theirs = new Float32Array(new Uint8Array(bytes).buffer)
          expect(theirs.length, name).toBe(ours.length)
          // SmolLM2's logits reach 20: there the bar is of that size
          const size = ours.reduce((most, value) => Math.max(most, Math.abs(value)), 1)
          expect(largest(theirs, ours) / size, `${name} ${kind}`).toBeLessThan(1e-4)
        }
      }
    },
    5 * minutes,
  )
})

const noLlamaCpp = missing ?? missingPeer('node-llama-cpp', llamaCpp)
describe.skipIf(noLlamaCpp !== undefined)('llama.cpp', () => {
  interface Answer {
    top: [token: number, logProbability: number][]
    greedy: number[]
  }
  const ask = (model: string, adapter: string, steps: number, ids: readonly number[]): Answer =>
    JSON.parse(
      runPeer(process.execPath, [here('llama-cpp.mjs'), llamaCpp ?? '', model, adapter, String(steps), ids.join()]),
    ) as Answer

  it.each([...cases, 'smollm2'])(
    'gives our greedy text and log-probabilities from our base and adapter files: %s',
    async (name) => {
      const subject = subjects.find((one) => one.name === name)
      if (subject === undefined) throw new Error(`no ${name}`)
      const { adapter, ids } = subject
      // llama.cpp wants a vocabulary; the tiny models have none
      const base = name === 'smollm2' ? subject.base : at(`${name}.named`)
      if (name !== 'smollm2') {
        await cp(subject.base, base, { recursive: true })
        await writeFile(join(base, 'tokenizer.json'), JSON.stringify(madeUpTokenizer(131)))
      }
      const [model, lora, merged] = [at(`${name}.gguf`), at(`${name}.lora.gguf`), at(`${name}.merged.gguf`)]
      await using opened = await openModel(base)
      await convert(base, { to: 'gguf', out: model })
      await convert(adapter, { to: 'gguf', out: lora, base: opened })
      // merging SmolLM2 is what test/golden holds to the engine; here it would only cost 540 MB more
      const files: [model: string, adapter: string][] = [[model, lora]]
      if (name !== 'smollm2') {
        await convert(adapter, { to: 'gguf', out: merged, base: opened, merge: true })
        files.push([merged, '-'])
      }
      const loaded = await loadPeft(adapter)
      const { vocabulary } = opened.spec.shape
      const steps = stepsOf(name)
      for (const answer of files.map((pair) => ask(...pair, steps, ids))) {
        const text = [...ids]
        for (const [step, token] of answer.greedy.entries()) {
          const ours = lastLogProbabilities(await engineLogits(opened, loaded, text), vocabulary)
          if (step === 0) {
            for (const [id, logProbability] of answer.top) {
              expect(Math.abs((ours[id] ?? Number.NaN) - logProbability), `${name} token ${id}`).toBeLessThan(2e-2)
            }
          }
          expect(ours.indexOf(ours.reduce((a, b) => Math.max(a, b))), `${name} step ${step}`).toBe(token)
          text.push(token)
        }
        expect(answer.top).toHaveLength(10)
      }
    },
    5 * minutes,
  )
})
