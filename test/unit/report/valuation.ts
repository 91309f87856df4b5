import type { Plan } from '../../../src/update/plan.js'
import { planSha256 } from '../../../src/update/plan.js'
import type { Valuation } from '../../../src/valuation/valuation.js'

/** A valuation as `oneround value` keeps it: values fall from client to client, the last one harms. */
export function someValuation(plan: Plan, clients: readonly string[]): Valuation {
  const shapley = (at: number) => 0.004 * (clients.length - 1.5 - at)
  return {
    version: 1,
    planSha256: planSha256(plan),
    round: plan.rounds,
    data: { sha256: 'd'.repeat(64), examples: 300, tokens: 4000 },
    method: 'exact',
    seed: 0,
    evaluations: 2 ** Math.min(clients.length, 10),
    baseLoss: 4,
    loss: 4 - clients.reduce((sum, _, at) => sum + shapley(at), 0),
    clients: clients.map((client, at) => ({
      client,
      weight: 1 / clients.length,
      shapley: shapley(at),
      interval: [shapley(at) - 0.001, shapley(at) + 0.001],
      leaveOneOut: shapley(at) / 2,
      leaveOneOutInterval: [shapley(at) / 2 - 0.002, shapley(at) / 2 + 0.002],
      ...(clients.length > 1 ? { nearest: { client: clients[at === 0 ? 1 : 0]!, cosine: 0.71 } } : {}),
    })),
    findings: [{ rule: 'harms', clients: [clients.at(-1)!], text: `${clients.at(-1)} raises the held-out loss.` }],
    learned: [
      {
        kind: 'lambda',
        weights: Object.fromEntries(clients.map((client) => [client, 1 / clients.length])),
        lambda: 1.25,
        steps: 30,
        fit: { before: 3.9, after: 3.8, tokens: 2000 },
        test: { before: 3.95, after: 3.9, tokens: 2000, standardError: 0.002 },
      },
    ],
  }
}
