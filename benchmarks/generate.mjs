// How fast does one sequence grow, and what share of the memory bandwidth is that? Every token reads all weights once, so
// tokens a second cannot be more than bandwidth / bytes of the weights.
//   npm run bench -- generate [--model FILE,DIR,.. --tokens 64 --runs 5 --threads N]
// Then several texts side by side, which read the weights together: --sequences 16 (0: none).
// Without --model: the GGUF file in ../shared beside the repository. A folder with bf16 weights can be given beside it.
import os from 'node:os'
import { fileURLToPath } from 'node:url'
import { argmax } from '../dist/evaluate/sampling.js'
import { openModel } from '../dist/model/open.js'
import { native } from '../dist/native/load.js'
import { percentiles } from './percentiles.mjs'

const shared = (path) => fileURLToPath(new URL(`../../shared/${path}`, import.meta.url))
const prompt = 'The history of the lighthouse begins'

export async function run({ emit, flag }) {
  const models = flag('model', shared('models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf')).split(',')
  const tokens = Number(flag('tokens', 64))
  const runs = Number(flag('runs', 5))
  const threads = Number(flag('threads', os.availableParallelism()))
  const sequences = Number(flag('sequences', 16))
  const binding = native()
  for (const model of models) {
    const base = await openModel(model)
    const ids = Int32Array.from(base.tokenizer.encode(prompt))
    const length = ids.length + tokens + 1
    const session = new binding.Session(base.weights, {
      ...{ slots: [], overlay: [], training: false },
      ...{ threads, rowsPerPass: length, longestExample: length, cache: length },
    })
    const speeds = []
    const bandwidths = []
    for (let i = 0; i < runs; i++) {
      // Just before, because other users of the machine take their part of the bandwidth.
      bandwidths.push(binding.probeBandwidth?.(threads, base.bytes) ?? Number.NaN)
      let id = argmax(await session.prefill(ids))
      for (let t = 0; t < tokens; t++) {
        const start = performance.now()
        id = argmax(await session.next(id))
        speeds.push(1000 / (performance.now() - start))
      }
    }
    session.close()
    const together = sequences > 1 ? await sideBySide(base, ids, { tokens, sequences, threads }) : undefined
    const types = [...new Set(base.spec.tensors.filter(({ shape }) => shape.length > 1).map(({ type }) => type))]
    const shape = { model: model.split('/').at(-1), weights: types.sort().join(' + '), bytes: base.bytes, tokens, runs }
    await base.close()
    const row = { shape, provider: 'oneround', threads }
    emit({ what: 'generate', unit: 'tokens/s', ...row, ...percentiles(speeds) })
    if (together !== undefined)
      emit({ what: 'generate side by side', unit: 'tokens/s', ...row, sequences, ...percentiles([together]) })
    if (bandwidths.some(Number.isNaN)) continue
    emit({ what: 'read bandwidth', unit: 'GB/s', ...row, ...percentiles(bandwidths.map((rate) => rate / 1e9)) })
    const shares = speeds.map((speed, i) => (speed * shape.bytes) / bandwidths[Math.floor(i / tokens)])
    emit({ what: 'generate, share of bandwidth / weights', unit: 'share', ...row, ...percentiles(shares) })
  }
}

/** Tokens a second of all texts together. */
async function sideBySide(base, ids, { tokens, sequences, threads }) {
  const length = ids.length + tokens + 1
  const session = new (native().Session)(base.weights, {
    ...{ slots: [], overlay: [], training: false, threads, sequences },
    ...{ rowsPerPass: Math.max(length, sequences), longestExample: length, cache: length },
  })
  const lanes = Int32Array.from({ length: sequences }, (_, lane) => lane)
  let next
  for (const lane of lanes) next = argmax(await session.prefill(ids, lane))
  const start = performance.now()
  let said = new Int32Array(sequences).fill(next)
  for (let t = 0; t < tokens; t++) {
    const logits = await session.nextEach(said, lanes)
    const width = logits.length / sequences
    said = lanes.map((lane) => argmax(logits.subarray(lane * width, (lane + 1) * width)))
  }
  const speed = ((tokens * sequences) / (performance.now() - start)) * 1000
  session.close()
  return speed
}
