import type { Attribute, Element, Graph, Initializer, Node, Value } from './messages.js'

/** Where a weight's numbers will lie in the file beside the graph. Offsets are multiples of this, so that a reader can map them. */
const ALIGNMENT = 4096

/** One weight, in the order of the file: its bytes are written after the graph is known. */
export interface StoredWeight {
  name: string
  shape: readonly number[]
  offset: number
  length: number
}

/** A graph that grows node by node. Every method that adds something gives the name of its value. */
export class GraphBuilder {
  readonly #nodes: Node[] = []
  readonly #constants = new Map<string, Initializer>()
  readonly #weights = new Map<string, StoredWeight>()
  readonly #inputs: Value[] = []
  readonly #outputs: Value[] = []
  #end = 0

  node(type: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    return this.#add(type, inputs, [`${type}_${this.#nodes.length}`], attributes)
  }

  /** A node with several results of equal size along `axis`. */
  split(value: string, axis: number, sizes: readonly number[]): string[] {
    const outputs = sizes.map((_, part) => `Split_${this.#nodes.length}_${part}`)
    this.#add('Split', [value, this.integers(sizes)], outputs, { axis })
    return outputs
  }

  integers(values: readonly number[]): string {
    const data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer)
    return this.#constant(`int64_${values.join('_')}`, { element: 'int64', shape: [values.length], data })
  }

  /** A single number without extents. */
  integer(value: number): string {
    const data = new Uint8Array(BigInt64Array.of(BigInt(value)).buffer)
    return this.#constant(`int64_scalar_${value}`, { element: 'int64', shape: [], data })
  }

  float(value: number): string {
    return this.#constant(`float_${value}`, {
      element: 'float',
      shape: [],
      data: new Uint8Array(Float32Array.of(value).buffer),
    })
  }

  /** A table of f32 kept in the graph itself; for small ones. */
  table(name: string, values: Float32Array, shape: readonly number[]): string {
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    return this.#constant(name, { element: 'float', shape, data })
  }

  /** An f32 weight in the file beside the graph; the same name twice is the same weight. */
  weight(name: string, shape: readonly number[]): string {
    if (!this.#weights.has(name)) {
      const length = 4 * shape.reduce((product, extent) => product * extent, 1)
      this.#weights.set(name, { name, shape, offset: this.#end, length })
      this.#end = Math.ceil((this.#end + length) / ALIGNMENT) * ALIGNMENT
    }
    return name
  }

  input(name: string, element: Element, shape: Value['shape']): string {
    this.#inputs.push({ name, element, shape })
    return name
  }

  /** Gives a value the name that callers ask for. */
  output(value: string, name: string, element: Element, shape: Value['shape']): void {
    this.#add('Identity', [value], [name], {})
    this.#outputs.push({ name, element, shape })
  }

  /** @param location name of the file that holds the weights */
  finish(name: string, location: string, metadata: Graph['metadata']): { graph: Graph; weights: StoredWeight[] } {
    const weights = [...this.#weights.values()]
    const stored = weights.map(({ name, shape, offset, length }): Initializer => {
      return { name, element: 'float', shape, location, offset, length }
    })
    const initializers = [...this.#constants.values(), ...stored]
    return {
      graph: { name, nodes: this.#nodes, initializers, inputs: this.#inputs, outputs: this.#outputs, metadata },
      weights,
    }
  }

  #add(
    type: string,
    inputs: readonly string[],
    outputs: [string, ...string[]] | string[],
    attributes: Readonly<Record<string, Attribute>>,
  ): string {
    this.#nodes.push({ type, inputs, outputs, attributes })
    return outputs[0] as string
  }

  #constant(name: string, value: { element: Element; shape: readonly number[]; data: Uint8Array }): string {
    if (!this.#constants.has(name)) this.#constants.set(name, { name, ...value })
    return name
  }
}
