import type { Arm } from '../../../src/federation/arms.js'

const score = (loss: number, tokens = 1000) => ({ loss, perplexity: Math.exp(loss), tokens })

/** Arms of a comparison with the given clients; each client's loss is the overall one plus a tenth of its place. */
export function someArms(clients: readonly string[]): Arm[] {
  const arm = (name: Arm['name'], loss: number, bytesUp: number, client?: string): Arm => ({
    name,
    ...(client === undefined ? {} : { client }),
    overall: score(loss, 1000 * clients.length),
    perClient: Object.fromEntries(clients.map((c, at) => [c, score(loss + at / 10)])),
    bytesUp,
    bytesDown: bytesUp,
    seconds: 12.5,
  })
  return [
    arm('base', 4, 0),
    ...clients.map((client) => arm('client', 3.8, 0, client)),
    arm('1x3', 3.2, 1_500_000),
    arm('3x1', 3.1, 4_500_000),
    arm('pooled', 3, 0),
  ]
}
