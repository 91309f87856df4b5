// What the one-shot mean is worth as clients arrive, one by one, and without each of them: no retraining, sums only.
import { openAggregator } from '../dist/aggregate/aggregator.js'
import { updatesOf } from '../dist/diagnose/run-evidence.js'
import { planOfArm } from '../dist/federation/arms.js'
import { judge } from '../dist/federation/judge.js'

export async function arrivals({ base, clients, evidence, settings, o }) {
  const plan = planOfArm(evidence.plan, { rounds: 1, epochs: settings.horizon })
  const updates = await updatesOf(evidence, `1x${settings.horizon}`, 1)
  const heldOut = new Map(evidence.clients.map((name) => [name, clients[name].heldOut(settings.heldOut).heldOut]))
  const loss = async (some) => {
    const sum = await openAggregator(plan, undefined, o)
    for (const update of some) await sum.add(update)
    const { adapter } = await sum.finish({ method: 'stack' })
    return (await judge(base, adapter, heldOut, o)).overall.loss
  }
  const arrived = []
  for (let count = 1; count <= updates.length; count++) arrived.push(await loss(updates.slice(0, count)))
  const without = {}
  for (const [i, client] of evidence.clients.entries()) without[client] = await loss(updates.filter((_, j) => j !== i))
  return { seed: plan.train.seed, base: (await judge(base, undefined, heldOut, o)).overall.loss, arrived, without }
}
