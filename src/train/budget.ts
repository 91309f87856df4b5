import type { Example } from '../data/dataset.js'

/** How rows are laid out for the engine. A layout changes no example's step and no result, only memory and speed. */
export interface PassShape {
  /** tokens of the longest example, rounded up so that clients of like length share a session */
  longestExample: number
  /** rows in one forward and backward pass */
  rowsPerPass: number
}

/** Enough rows for full matrix tiles; more would only cost memory. */
const usualRows = 512
const step = 32

const roundUp = (value: number) => Math.max(step, Math.ceil(value / step) * step)

/**
 * A function of the examples and of the examples a step, and of nothing else: a client that trains from files gets
 * the same layout as in a simulation. `perStep` is examples per optimizer step.
 */
export function passShape(examples: readonly Example[], perStep: number): PassShape {
  let longest = 1
  for (const example of examples) longest = Math.max(longest, example.ids.length)
  const longestExample = roundUp(longest)
  const rowsOfStep = roundUp(longest * Math.min(perStep, Math.max(1, examples.length)))
  return { longestExample, rowsPerPass: Math.max(longestExample, Math.min(usualRows, rowsOfStep)) }
}
