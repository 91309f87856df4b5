// What a user of the installed package writes: pack.test.ts checks its types against the package and runs it.
import { type Arm, createPlan, loadExamples, OneroundError, openModel, simulate } from 'oneround'

async function main(source: string): Promise<void> {
  await using base = await openModel(source)
  const data = { template: 'text', cutoff: 64, lossOn: 'all', heldOut: 0.25, tokenizer: base.tokenizer } as const
  const rows = (word: string) => Array.from({ length: 16 }, (_, i) => ({ text: `${word} ${i % 4} ${word}` }))
  const clients = {
    north: await loadExamples(rows('snow falls on the pines'), data),
    south: await loadExamples(rows('sand drifts over the road'), data),
  }
  const plan = await createPlan(base, {
    targets: ['q_proj', 'v_proj'],
    rank: 2,
    alpha: 4,
    epochs: 2,
    batch: 4,
    learningRate: 0.02,
    cutoff: 64,
    heldOut: 0.25,
    clients: ['north', 'south'],
  })
  const { arms, adapter } = await simulate(base, clients, plan, { compare: ['base', '1x2'], folder: 'run', threads: 1 })
  const loss = (name: Arm['name']): number => {
    const arm = arms.find((candidate) => candidate.name === name)
    if (arm === undefined) throw new Error(`no arm ${name}`)
    return arm.overall.loss
  }
  await adapter.save('adapter')
  console.log(JSON.stringify({ base: loss('base'), oneRound: loss('1x2'), layers: adapter.layers.length }))
}

main(process.argv[2] ?? '').catch((error: unknown) => {
  if (!(error instanceof OneroundError)) throw error
  console.log(JSON.stringify({ code: error.code, message: error.message, fix: error.fix }))
  process.exitCode = 1
})
