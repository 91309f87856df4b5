/** fisher and regmean by hand: each client measures beside its update, and the server reads what lies there. */
import { existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { smallWorldInside } from './small-world-inside.js'

const { folder, json, run } = smallWorldInside()
const small = '--rank 2 --targets q_proj,down_proj --cutoff 64 --epochs 1 --batch 4 --learning-rate 0.02'
const updates = 'north.update.safetensors south.update.safetensors'
const train = (client: string, more: string) =>
  `train plan.json --client ${client} --base base --data clients/${client}.jsonl ${more}`

describe.each(['fisher', 'regmean'])('oneround train --statistic %s', (kind) => {
  it('announces a second file, writes it, and aggregate weighs by it', async () => {
    await json(`plan --base base --clients north,south ${small} --out plan.json`)
    const dry = await json(train('north', `--statistic ${kind} --dry-run --out x.update.safetensors`))
    const fields = (dry.leaves as { field: string }[]).map(({ field }) => field)
    expect(fields).toContain('(statistic)')
    for (const client of ['north', 'south']) {
      const told = await json(train(client, `--statistic ${kind} --out ${client}.update.safetensors`))
      expect(told).toMatchObject({ statistic: { kind, file: `${client}.${kind}.safetensors` } })
    }
    const inspected = await json(`inspect north.${kind}.safetensors --plan plan.json`)
    expect(inspected).toMatchObject({ kind: 'statistic', accepted: true })
    const tensors = (inspected.fields as { field: string; meaning: string }[]).filter((f) => f.meaning === 'tensor')
    expect(fields).toEqual(expect.arrayContaining(tensors.map(({ field }) => field)))
    const receipt = await json('inspect north.receipt.json')
    expect(JSON.stringify(receipt)).toContain('statistic.sha256')
    expect(await json(`aggregate plan.json ${updates} --method ${kind} --out ${kind}`)).toMatchObject({ method: kind })
    expect(existsSync(join(folder, kind, 'adapter_model.safetensors'))).toBe(true)
  })

  it('is refused where one is missing, and takes files that lie elsewhere', async () => {
    renameSync(join(folder, `south.${kind}.safetensors`), join(folder, 'elsewhere'))
    const missing = await run(`aggregate plan.json ${updates} --method ${kind} --out never`)
    expect(missing.code).toBe(1)
    expect(missing.err).toContain(`south.${kind}.safetensors`)
    expect(existsSync(join(folder, 'never'))).toBe(false)
    await json(
      `aggregate plan.json ${updates} --method ${kind} --statistics elsewhere north.${kind}.safetensors --out b`,
    )
    // A state holds updates and no statistics: they are named.
    await json(`aggregate plan.json ${updates} --state ${kind}.state --out c`)
    const named = `--statistics elsewhere north.${kind}.safetensors`
    expect(await json(`aggregate plan.json --state ${kind}.state --method ${kind} ${named} --out d`)).toMatchObject({
      method: kind,
    })
  })
})

it('a statistic that means nothing is refused before anything trains', async () => {
  await json(`plan --base base --clients north,south --trainable ffa ${small} --out ffa.json`)
  const ffa = await run(
    train('north', '--statistic fisher --out y.update.safetensors').replace('plan.json', 'ffa.json'),
  )
  expect([ffa.code, ffa.err]).toEqual([1, expect.stringContaining('trainable ffa')])
  await json(`plan --base base --clients north,south --rounds 2 ${small} --out two.json`)
  const early = await run(
    train('north', '--statistic fisher --out y.update.safetensors').replace('plan.json', 'two.json'),
  )
  expect(early.err).toContain('round 1 of 2')
  expect((await run(train('north', '--statistic hessian --out y.update.safetensors'))).code).toBe(2)
  expect(existsSync(join(folder, 'y.update.safetensors'))).toBe(false)
})
