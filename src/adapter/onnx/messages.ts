/**
 * The part of ONNX's messages that a decoder needs. Field numbers: onnx.proto of github.com/onnx/onnx, IR version 8
 * (opset 17). A reader takes repeated numbers packed or not, so that the two syntaxes of protobuf do not matter here.
 */
import protobuf from 'protobufjs'

const IR_VERSION = 8
const OPSET = 17

/** TensorProto.DataType */
const ELEMENT = { float: 1, int64: 7, bool: 9 } as const
export type Element = keyof typeof ELEMENT

/** AttributeProto.AttributeType */
const ATTRIBUTE = { float: 1, int: 2, ints: 7 } as const

export type Attribute = number | readonly number[] | { float: number }

/** An extent of a shape: a number, or a name where only the run knows it. */
type Dimension = number | string

export interface Node {
  type: string
  inputs: readonly string[]
  outputs: readonly string[]
  attributes: Readonly<Record<string, Attribute>>
}

/** A constant, in the graph's own file or, for weights, beside it. */
export type Initializer = { name: string; element: Element; shape: readonly number[] } & (
  | { data: Uint8Array }
  | { location: string; offset: number; length: number }
)

export interface Value {
  name: string
  element: Element
  shape: readonly Dimension[]
}

export interface Graph {
  name: string
  nodes: readonly Node[]
  initializers: readonly Initializer[]
  inputs: readonly Value[]
  outputs: readonly Value[]
  /** shown by every viewer of the file */
  metadata: Readonly<Record<string, string>>
}

const field = (type: string, id: number, rule?: 'repeated') => ({ type, id, ...(rule ? { rule } : {}) })

const onnx = protobuf.Root.fromJSON({
  nested: {
    Entry: { fields: { key: field('string', 1), value: field('string', 2) } },
    Opset: { fields: { domain: field('string', 1), version: field('int64', 2) } },
    Dimension: { fields: { value: field('int64', 1), parameter: field('string', 2) } },
    Shape: { fields: { dim: field('Dimension', 1, 'repeated') } },
    TensorType: { fields: { element: field('int32', 1), shape: field('Shape', 2) } },
    Type: { fields: { tensor: field('TensorType', 1) } },
    ValueInfo: { fields: { name: field('string', 1), type: field('Type', 2) } },
    Tensor: {
      fields: {
        dims: field('int64', 1, 'repeated'),
        dataType: field('int32', 2),
        name: field('string', 8),
        rawData: field('bytes', 9),
        externalData: field('Entry', 13, 'repeated'),
        dataLocation: field('int32', 14),
      },
    },
    Attribute: {
      fields: {
        name: field('string', 1),
        f: field('float', 2),
        i: field('int64', 3),
        ints: field('int64', 8, 'repeated'),
        type: field('int32', 20),
      },
    },
    Node: {
      fields: {
        input: field('string', 1, 'repeated'),
        output: field('string', 2, 'repeated'),
        name: field('string', 3),
        opType: field('string', 4),
        attribute: field('Attribute', 5, 'repeated'),
      },
    },
    Graph: {
      fields: {
        node: field('Node', 1, 'repeated'),
        name: field('string', 2),
        initializer: field('Tensor', 5, 'repeated'),
        input: field('ValueInfo', 11, 'repeated'),
        output: field('ValueInfo', 12, 'repeated'),
      },
    },
    Model: {
      fields: {
        irVersion: field('int64', 1),
        producerName: field('string', 2),
        graph: field('Graph', 7),
        opset: field('Opset', 8, 'repeated'),
        metadata: field('Entry', 14, 'repeated'),
      },
    },
  },
})

/** The bytes of an ONNX model; the same graph gives the same bytes. */
export function encodeModel(graph: Graph): Uint8Array {
  const model = onnx.lookupType('Model')
  const message = {
    irVersion: IR_VERSION,
    producerName: 'oneround',
    opset: [{ domain: '', version: OPSET }],
    metadata: entries(graph.metadata),
    graph: {
      name: graph.name,
      node: graph.nodes.map(nodeMessage),
      initializer: graph.initializers.map(tensorMessage),
      input: graph.inputs.map(valueMessage),
      output: graph.outputs.map(valueMessage),
    },
  }
  return model.encode(model.create(message)).finish()
}

function nodeMessage({ type, inputs, outputs, attributes }: Node): object {
  const attribute = Object.entries(attributes).map(([name, value]) => {
    if (typeof value === 'number') return { name, i: value, type: ATTRIBUTE.int }
    if ('float' in value) return { name, f: value.float, type: ATTRIBUTE.float }
    return { name, ints: value, type: ATTRIBUTE.ints }
  })
  return { opType: type, name: outputs[0], input: inputs, output: outputs, attribute }
}

function tensorMessage(tensor: Initializer): object {
  const head = { name: tensor.name, dims: tensor.shape, dataType: ELEMENT[tensor.element] }
  if ('data' in tensor) return { ...head, rawData: tensor.data }
  const { location, offset, length } = tensor
  return {
    ...head,
    externalData: entries({ location, offset: String(offset), length: String(length) }),
    dataLocation: 1,
  }
}

function valueMessage({ name, element, shape }: Value): object {
  const dim = shape.map((extent) => (typeof extent === 'number' ? { value: extent } : { parameter: extent }))
  return { name, type: { tensor: { element: ELEMENT[element], shape: { dim } } } }
}

function entries(record: Readonly<Record<string, string>>): object[] {
  return Object.entries(record).map(([key, value]) => ({ key, value }))
}
