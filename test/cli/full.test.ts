/** Full updates by hand: every tensor trains, travels, is averaged, judged and generated from. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { smallWorld } from './small-world.js'

const { folder, json } = smallWorld()

const small = '--trainable full --cutoff 64 --epochs 1 --batch 4 --learning-rate 3e-3 --evaluate-every epoch'

it('goes from plan to text', async () => {
  await json(
    `plan --base base --clients north,south ${small} --weight-decay-pattern embed_tokens.weight=0 --out p.json`,
  )
  const dry = await json('train p.json --client north --data clients/north.jsonl --out n.safetensors --dry-run')
  expect(JSON.stringify(dry.leaves)).toContain('model.norm.weight.delta')
  for (const client of ['north', 'south'])
    await json(
      `train p.json --client ${client} --base base --data clients/${client}.jsonl --out ${client}.update.safetensors`,
    )
  expect(await json('inspect north.update.safetensors --plan p.json')).toMatchObject({ accepted: true })
  expect(JSON.stringify(await json('inspect north.receipt.json'))).toContain('evaluations.0.loss')
  const told = await json('aggregate p.json south.update.safetensors north.update.safetensors --out adapter')
  expect(told).toMatchObject({ method: 'fedavg', relativeError: 0 })
  expect(existsSync(join(folder, 'adapter', 'adapter_config.json'))).toBe(false)
  expect(await json('inspect adapter')).toMatchObject({ kind: 'adapter' })
  const judged = async (more: string) =>
    (await json(`evaluate --base base --data clients/north.jsonl${more}`)).loss as number
  expect(await judged(' --adapter adapter')).toBeLessThan(await judged(''))
  const text = await json('generate --base base --adapter adapter --prompt the --max-tokens 3')
  expect(typeof text.text).toBe('string')
})

it('is compared with one round, alone and pooled', async () => {
  const { arms } = await json(
    `simulate --base base --data clients ${small} --rounds 2 --compare base,client,1x2,2x1,pooled --out run`,
  )
  expect((arms as { name: string }[]).map(({ name }) => name)).toEqual([
    'base',
    'client',
    'client',
    '1x2',
    '2x1',
    'pooled',
  ])
  expect(existsSync(join(folder, 'run', 'adapter', 'oneround_adapter.json'))).toBe(true)
  expect(existsSync(join(folder, 'run', 'report.html'))).toBe(true)
})
