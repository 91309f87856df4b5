/** Projected gradient descent with a line search, for a handful of numbers and a loss that is dear to look at. */

export interface Objective {
  loss(x: readonly number[]): Promise<number>
  /** of the loss, at x */
  slopes(x: readonly number[]): Promise<number[]>
}

export interface Descent {
  x: number[]
  loss: number
  /** steps that lowered the loss */
  steps: number
}

/** A step must lower the loss by this part of what the slope promises (Armijo). */
const ENOUGH = 1e-4
/** relative to the loss: less than f32 losses can tell */
const NOTHING = 1e-7
const MOST_HALVINGS = 10

/**
 * From `from`, which must be allowed, to where no step within `project`'s set lowers the loss, or `steps` are done.
 * The first step moves no number by more than a half; later ones double after a success. Ends are local.
 */
export async function descend(
  from: readonly number[],
  project: (x: readonly number[]) => number[],
  objective: Objective,
  o: { steps: number; onStep?: ((step: number, loss: number) => void) | undefined },
): Promise<Descent> {
  const at: Descent = { x: [...from], loss: await objective.loss(from), steps: 0 }
  let length: number | undefined
  for (let step = 0; step < o.steps; step++) {
    const slopes = await objective.slopes(at.x)
    length ??= firstLength(slopes)
    const next = await search(at, slopes, length, project, objective)
    if (next === undefined) break
    const gained = at.loss - next.loss
    Object.assign(at, { x: next.x, loss: next.loss, steps: at.steps + 1 })
    length = next.length * 2
    o.onStep?.(step + 1, at.loss)
    if (gained <= NOTHING * Math.abs(at.loss)) break
  }
  return at
}

function firstLength(slopes: readonly number[]): number {
  const steepest = Math.max(...slopes.map(Math.abs))
  return steepest > 0 ? 0.5 / steepest : 1
}

async function search(
  at: Descent,
  slopes: readonly number[],
  first: number,
  project: (x: readonly number[]) => number[],
  objective: Objective,
): Promise<{ x: number[]; loss: number; length: number } | undefined> {
  let length = first
  for (let halving = 0; halving < MOST_HALVINGS; halving++, length /= 2) {
    const x = project(at.x.map((value, i) => value - length * (slopes[i] ?? 0)))
    const moved = x.reduce((sum, value, i) => sum + (value - (at.x[i] ?? 0)) ** 2, 0)
    if (moved === 0) return undefined
    const loss = await objective.loss(x)
    if (loss <= at.loss - (ENOUGH * moved) / length) return { x, loss, length }
  }
  return undefined
}

/**
 * The nearest point with no number below 0 and the sum 1 (Duchi et al., "Efficient projections onto the l1-ball", 2008).
 * Ends of a descent lie on its edges: a client that only harms gets exactly 0.
 */
export function ontoSimplex(x: readonly number[]): number[] {
  const sorted = [...x].sort((a, b) => b - a)
  let sum = 0
  let shift = 0
  for (const [i, value] of sorted.entries()) {
    sum += value
    const candidate = (sum - 1) / (i + 1)
    if (value - candidate > 0) shift = candidate
  }
  return x.map((value) => Math.max(0, value - shift))
}
