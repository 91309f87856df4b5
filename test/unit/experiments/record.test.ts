/** A cell's record is made of its draws, in their order; what differs between arms is paired by held-out example. */
import { expect, it } from 'vitest'

interface Record {
  seeds: number[]
  losses: { [arm: string]: { perSeed: number[]; bytesUp: number } }
  contrasts: { arm: string; difference: number; items: number; gain: number }[]
  asked: { [what: string]: unknown[] }
  reasons: unknown[]
  seconds: number
}
const { recordOf } = (await import(new URL('../../../experiments/record.mjs', import.meta.url).href)) as {
  recordOf(draws: object[]): Record
}

const arms = { base: 3, '1x2': 2, '2x1': 1.5, pooled: 1 }
/** Held-out losses (nats, of ten tokens each) that are those above on average a token, moved by `shift`. */
function draw(seed: number, shift: number): object {
  const overall = (loss: number) => ({ loss: loss + shift, tokens: 40 })
  const items = (loss: number) => ({
    a: { losses: [loss - 0.5, loss + 0.5].map((x) => 10 * (x + shift)), tokens: [10, 10] },
  })
  const of = <T>(one: (loss: number) => T) =>
    Object.fromEntries(Object.entries(arms).map(([arm, loss]) => [arm, one(loss)]))
  return {
    ...{ settings: { arms: Object.keys(arms), horizon: 2, ask: ['remedies'] }, seed, data: { a: `digest ${seed}` } },
    arms: of((loss) => ({ overall: overall(loss), bytesUp: 7, bytesDown: 1 })),
    items: of(items),
    ...{ reasons: { tau: seed }, asked: { remedies: { seed } }, seconds: 2 },
  }
}

it('keeps each seed in its place and pairs arms within a draw', () => {
  const record = recordOf([draw(4, 0), draw(5, 10)])
  expect(record).toMatchObject({ seeds: [4, 5], seconds: 4, reasons: [{ tau: 4 }, { tau: 5 }] })
  expect(record.asked).toEqual({ remedies: [{ seed: 4 }, { seed: 5 }] })
  expect(record.losses['1x2']).toMatchObject({ perSeed: [2, 12], bytesUp: 7 })
  expect(record.contrasts.map(({ arm }) => arm)).toEqual(['2x1', 'pooled'])
  const [several, pooled] = record.contrasts
  // Draws lie ten apart, and arms within a draw do not: what is paired sees only the latter.
  expect(several).toMatchObject({ items: 4 })
  expect(several?.difference).toBeCloseTo(0.5, 12)
  expect(several?.gain).toBeCloseTo(1.5, 12)
  expect(pooled?.difference).toBeCloseTo(1, 12)
})
