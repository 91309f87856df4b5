// A session that trains LoRA factors on all linear layers of a base, A uniform and B zero: what the training benchmarks
// measure.
import { native } from '../dist/native/load.js'
import { adamw } from '../dist/train/optimizer.js'

/** AdamW as the peer's benchmark sets it. */
export const options = { ...adamw, learningRate: 3e-4, weightDecay: 0.01, clipNorm: 0, seed: 0 }

export function loraSession(base, { rank, ...o }) {
  const layers = base.spec.linearLayers
  const session = new (native().Session)(base.weights, {
    slots: layers.map(({ name }) => ({ kind: 'lora', layer: name, rank, scale: 2, dropout: 0 })),
    overlay: [],
    training: true,
    ...o,
  })
  const parameters = new Float32Array(session.parameterCount)
  let at = 0
  layers.forEach((layer, index) => {
    const a = native().random(0, index, rank * layer.in, 'uniform')
    const bound = 1 / Math.sqrt(layer.in)
    a.forEach((u, i) => {
      parameters[at + i] = (2 * u - 1) * bound
    })
    at += rank * (layer.in + layer.out)
  })
  session.setParameters(parameters)
  return session
}

/** Examples as one batch: labels are the next tokens, -100 where `trains` says no or an example ends. */
export function batchOf(examples, trains = () => true) {
  const ids = Int32Array.from(examples.flat())
  const labels = Int32Array.from(
    examples.flatMap((example) =>
      example.map((_id, t) => (t + 1 < example.length && trains(example, t + 1) ? example[t + 1] : -100)),
    ),
  )
  const lengths = Int32Array.from(examples, (example) => example.length)
  return { ids, labels, lengths, dropoutCounters: new Uint32Array(examples.length) }
}
