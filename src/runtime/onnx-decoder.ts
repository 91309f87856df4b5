/** An exported decoder in an onnxruntime session: its cache stays in the session's own tensors between calls. */
import type { InferenceSession, Tensor } from 'onnxruntime-node'
import type { GraphLayer } from './onnx-messages.js'

type Ort = typeof import('onnxruntime-node')
type Feeds = Record<string, Tensor>

/** Tokens of one pass: the graph gives the logits of all of them, so a long prompt goes in parts. */
const PASS = 64

export class OnnxDecoder {
  readonly #ort: Ort
  readonly #session: InferenceSession
  /** [rank, in] and [out, rank] inputs of the graph by layer */
  readonly #adapted = new Map<string, { in: number; out: number }>()
  readonly #pastInputs: { name: string; kvHeads: number; headDim: number }[] = []
  #factors: Feeds = {}
  #past: Feeds = {}
  #length = 0

  constructor(ort: Ort, session: InferenceSession) {
    this.#ort = ort
    this.#session = session
    for (const input of session.inputMetadata) {
      if (!input.isTensor) continue
      const [first, second, , fourth] = input.shape
      if (input.name.startsWith('past_key_values.'))
        this.#pastInputs.push({ name: input.name, kvHeads: Number(second), headDim: Number(fourth) })
      const layer = /^(.*)\.lora_([AB])$/.exec(input.name)
      if (layer === null) continue
      const sizes = this.#adapted.get(layer[1] as string) ?? { in: 0, out: 0 }
      this.#adapted.set(
        layer[1] as string,
        layer[2] === 'A' ? { ...sizes, in: Number(second) } : { ...sizes, out: Number(first) },
      )
    }
  }

  /** The first layer of an adapter that the graph has no inputs for. */
  stranger(layers: readonly GraphLayer[]): string | undefined {
    return layers.find(({ layer, rank, a, b }) => {
      const own = this.#adapted.get(layer)
      return own === undefined || a.length !== rank * own.in || b.length !== own.out * rank
    })?.layer
  }

  /** Empties the cache and takes the factors of the text to come; a layer without any gets a product of zeros. */
  begin(layers: readonly GraphLayer[]): void {
    const given = new Map(layers.map((layer) => [layer.layer, layer]))
    this.#factors = {}
    for (const [layer, sizes] of this.#adapted) {
      const { rank = 1, a = new Float32Array(sizes.in), b = new Float32Array(sizes.out) } = given.get(layer) ?? {}
      this.#factors[`${layer}.lora_A`] = this.#float(a, [rank, sizes.in])
      this.#factors[`${layer}.lora_B`] = this.#float(b, [sizes.out, rank])
    }
    this.#past = {}
    for (const { name, kvHeads, headDim } of this.#pastInputs)
      this.#past[name] = this.#float(new Float32Array(0), [1, kvHeads, 0, headDim])
    this.#length = 0
  }

  /** Takes more tokens; calls `each` with the logits [vocabulary] after every one of them, views that do not last. */
  async take(ids: Int32Array, each: (place: number, logits: Float32Array) => void): Promise<void> {
    for (let first = 0; first < ids.length; first += PASS) {
      const part = ids.subarray(first, first + PASS)
      const total = this.#length + part.length
      const results = await this.#session.run({
        ...this.#factors,
        ...this.#past,
        input_ids: this.#integers(Array.from(part), part.length),
        attention_mask: this.#integers(new Array<number>(total).fill(1), total),
        position_ids: this.#integers(
          Array.from(part, (_, i) => this.#length + i),
          part.length,
        ),
      })
      for (const name of Object.keys(this.#past))
        this.#past[name] = results[name.replace('past_key_values', 'present')] as Tensor
      this.#length = total
      const logits = results.logits?.data as Float32Array
      const vocabulary = logits.length / part.length
      for (let i = 0; i < part.length; i++) each(first + i, logits.subarray(i * vocabulary, (i + 1) * vocabulary))
    }
  }

  #float(data: Float32Array, dims: number[]): Tensor {
    return new this.#ort.Tensor('float32', data, dims)
  }

  #integers(values: number[], count: number): Tensor {
    return new this.#ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, count])
  }
}
