/**
 * What llama.cpp makes of a model and an adapter, as one JSON value on standard output:
 *
 *   node llama-cpp.mjs MODULE MODEL ADAPTER|- STEPS TOKEN,TOKEN,...
 *
 * MODULE is node-llama-cpp's main file. Gives the greedy continuation and, of the token after the prompt, the ten most
 * likely with the natural logarithms of their probabilities.
 */
import { pathToFileURL } from 'node:url'

const [, , library, modelPath, adapterPath, steps, list] = process.argv
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(library).href)
const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: 2 })
const model = await llama.loadModel({ modelPath, gpuLayers: 0 })
const lora = adapterPath === '-' ? {} : { lora: { adapters: [{ filePath: adapterPath, scale: 1 }] } }
const context = await model.createContext({ contextSize: 128, batchSize: 128, flashAttention: false, ...lora })
const sequence = context.getSequence()

let tokens = list.split(',').map(Number)
let top
const greedy = []
for (let step = 0; step < Number(steps); step++) {
  const input = tokens.slice(0, -1).map((token) => token)
  input.push([tokens.at(-1), { generateNext: { probabilities: true, token: true, options: { temperature: 0 } } }])
  const { next } = (await sequence.controlledEvaluate(input)).at(-1)
  top ??= [...next.probabilities].slice(0, 10).map(([token, p]) => [token, Math.log(p)])
  greedy.push(next.token)
  tokens = [next.token]
}
console.log(JSON.stringify({ top, greedy }))
await llama.dispose()
