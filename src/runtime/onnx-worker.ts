/** The thread in which onnxruntime runs: its `run` blocks the loop that calls it. */
import { parentPort, workerData } from 'node:worker_threads'
import { OnnxDecoder } from './onnx-decoder.js'
import type { GraphLayer, Reply, Request, WorkerStart } from './onnx-messages.js'

const { graph, threads, adapters } = workerData as WorkerStart
const port = parentPort
if (port === null) throw new Error('this module is a worker')
const reply = (message: Reply, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer)

async function openDecoder(): Promise<OnnxDecoder> {
  const ort = await import('onnxruntime-node')
  const session = await ort.InferenceSession.create(graph, { intraOpNumThreads: threads })
  const decoder = new OnnxDecoder(ort, session)
  for (const [name, layers] of adapters) {
    const stranger = decoder.stranger(layers)
    if (stranger === undefined) continue
    throw Object.assign(
      new Error(`The graph takes no factors of this size for layer '${stranger}' of adapter '${name}'.`),
      {
        mismatch: true,
      },
    )
  }
  return decoder
}

async function answer(decoder: OnnxDecoder, message: Request): Promise<void> {
  const { request } = message
  const layersOf = (name: string | undefined): readonly GraphLayer[] =>
    name === undefined ? [] : (adapters.get(name) ?? [])
  if (message.call === 'score') {
    decoder.begin(layersOf(message.adapter))
    let logLikelihood = 0
    const { ids } = message
    const firstOwn = ids.length - message.own
    await decoder.take(ids.subarray(0, -1), (place, logits) => {
      if (place + 1 >= firstOwn) logLikelihood += logSoftmax(logits, ids[place + 1] as number)
    })
    reply({ request, logLikelihood })
    return
  }
  const ids = message.call === 'prefill' ? message.ids : Int32Array.of(message.id)
  if (message.call === 'prefill') decoder.begin(layersOf(message.adapter))
  let last = new Float32Array(0)
  await decoder.take(ids, (place, logits) => {
    if (place === ids.length - 1) last = logits.slice()
  })
  reply({ request, logits: last }, [last.buffer])
}

function logSoftmax(logits: Float32Array, id: number): number {
  let most = Number.NEGATIVE_INFINITY
  for (const logit of logits) if (logit > most) most = logit
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - most)
  return (logits[id] as number) - most - Math.log(sum)
}

try {
  const decoder = await openDecoder()
  let last: Promise<void> = Promise.resolve()
  port.on('message', (message: Request) => {
    last = last
      .then(() => answer(decoder, message))
      .catch((error: unknown) => {
        const failure = { code: 'IO' as const, message: textOf(error), fix: 'Export the graph again.' }
        reply({ request: message.request, failure })
      })
  })
  reply({ ready: true })
} catch (error) {
  reply({ request: -1, failure: openingFailure(error) })
}

function openingFailure(error: unknown): Extract<Reply, { failure: unknown }>['failure'] {
  const message = textOf(error)
  if (error instanceof Error && 'mismatch' in error)
    return { code: 'MISMATCH', message, fix: 'Export the graph with --adapter-as apart from the same base.' }
  if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')
    return { code: 'UNSUPPORTED', message, fix: 'Run: npm install onnxruntime-node' }
  return { code: 'MALFORMED', message, fix: 'Export the graph again.' }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
