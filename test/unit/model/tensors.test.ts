import { expect, it } from 'vitest'
import type { ModelSpec } from '../../../src/model/spec.js'
import { baseTensors, turn } from '../../../src/model/tensors.js'

/** GPT-2 with one linear layer, as a Hugging Face folder (transposed) and as GGUF has it. */
const spec = (transposed: boolean) =>
  ({
    shape: { names: 'gpt2' },
    linearLayers: [{ name: 'h.c_fc', in: 2, out: 3 }],
    tensors: [
      { name: 'wte.weight', shape: [5, 2], transposed: false },
      { name: 'h.c_fc.weight', shape: transposed ? [2, 3] : [3, 2], transposed },
      { name: 'h.c_fc.bias', shape: [3], transposed: false },
    ],
  }) as unknown as ModelSpec

it("shapes are Hugging Face's, whatever file a base came from", () => {
  const shapes = [[5, 2], [2, 3], [3]]
  expect(baseTensors(spec(true)).map(({ shape }) => shape)).toEqual(shapes)
  expect(baseTensors(spec(false)).map(({ shape }) => shape)).toEqual(shapes)
  expect(baseTensors(spec(false)).map(({ turned }) => turned)).toEqual([false, true, false])
  expect(baseTensors(spec(true)).some(({ turned }) => turned)).toBe(false)
})

it('turning twice is nothing', () => {
  const values = Float32Array.from([1, 2, 3, 4, 5, 6])
  expect([...turn(values, 2, 3)]).toEqual([1, 4, 2, 5, 3, 6])
  expect(turn(turn(values, 2, 3), 3, 2)).toEqual(values)
})
