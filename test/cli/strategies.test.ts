/** Strategies that keep something between rounds, by hand: every file named, nothing remembered by a process. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { smallWorldInside } from './small-world-inside.js'

const { folder, json, run } = smallWorldInside()
const small = '--rank 2 --targets q_proj --cutoff 64 --epochs 1 --batch 4 --learning-rate 0.02'
const clients = ['north', 'south']
const update = (of: string, client: string, round: number) => `${of}.${client}.${round}.update.safetensors`
const updates = (of: string, round: number) => clients.map((client) => update(of, client, round)).join(' ')
const train = (of: string, client: string, round: number, more: string) =>
  `train ${of}.json --client ${client} --base base --data clients/${client}.jsonl --round ${round} ${more}--out ${update(of, client, round)}`

describe('scaffold', () => {
  const plain = '--start fresh --optimizer sgd --clip-norm 0 --weight-decay 0'

  it('goes over two rounds, and says what travels and what stays', async () => {
    await json(`plan --base base --clients north,south ${small} --rounds 2 --strategy scaffold ${plain} --out s.json`)
    const dry = await json(`${train('s', 'north', 1, '--dry-run ')}`)
    expect((dry.leaves as { field: string }[]).map(({ field }) => field)).toContain('(control)')
    for (const client of clients) {
      const told = await json(train('s', client, 1, ''))
      expect(told).toMatchObject({
        control: { file: `s.${client}.1.control.safetensors` },
        keeps: [`s.${client}.1.own-control.safetensors`],
      })
    }
    expect(JSON.stringify(await json('inspect s.north.1.receipt.json'))).toContain('control.sha256')
    const told = await json(`aggregate s.json ${updates('s', 1)} --out s1`)
    expect(told).toMatchObject({ round: 1, rounds: 2 })
    expect(existsSync(join(folder, 's1', 'control.safetensors'))).toBe(true)
    const forgot = await run(train('s', 'north', 2, '--start s1 '))
    expect([forgot.code, forgot.err]).toEqual([2, expect.stringContaining('--last')])
    for (const client of clients)
      expect(await json(train('s', client, 2, `--start s1 --last ${update('s', client, 1)} `))).toMatchObject({
        keeps: [],
      })
    const served = await json(`aggregate s.json ${updates('s', 2)} --round 2 --start s1 --out s2`)
    expect(served).toMatchObject({ method: 'svd' })
    expect(readdirSync(join(folder, 's2'))).not.toContain('control.safetensors')
  })
})

describe('momentum', () => {
  it('lies in the server folder, which has to be named', async () => {
    await json(`plan --base base --clients north,south ${small} --rounds 2 --strategy fedavgm --out m.json`)
    for (const client of clients) await json(train('m', client, 1, ''))
    const without = await run(`aggregate m.json ${updates('m', 1)} --out m1`)
    expect([without.code, without.err]).toEqual([2, expect.stringContaining('--server')])
    await json(`aggregate m.json ${updates('m', 1)} --server m-server --out m1`)
    expect(readdirSync(join(folder, 'm-server', 'round-1')).sort()).toEqual(['state.json', 'velocity'])
    for (const client of clients) await json(train('m', client, 2, '--start m1 '))
    const served = await json(`aggregate m.json ${updates('m', 2)} --round 2 --start m1 --server m-server --out m2`)
    expect(served).toMatchObject({ method: 'svd' })
    // The clients' mean, which a state holds, is not what this server serves.
    const state = await run(`aggregate m.json ${updates('m', 2)} --round 2 --start m1 --state m.state --out m3`)
    expect([state.code, state.err]).toEqual([1, expect.stringContaining('fedavgm')])
  })
})

describe('fedbuff', () => {
  it('makes versions, and serves when told that no more will come', async () => {
    await json(`plan --base base --clients north,south ${small} --rounds 2 --strategy fedbuff --buffer 2 --out b.json`)
    for (const client of clients) await json(train('b', client, 1, ''))
    const early = await run(`aggregate b.json ${update('b', 'north', 1)} --server b-server --out b1`)
    expect([early.code, early.err]).toEqual([2, expect.stringContaining('--last')])
    const version = await json(`aggregate b.json ${updates('b', 1)} --server b-server --out b1`)
    expect(version).toMatchObject({ version: 1 })
    expect((await run(`aggregate b.json ${updates('b', 1)} --server b-server --out b1`)).err).toContain("'once'")
    await json(train('b', 'north', 2, '--start b1 '))
    await json(train('b', 'south', 2, ''))
    const text = await run(`aggregate b.json ${updates('b', 2)} --server b-server --last --out served`)
    expect([text.code, text.out]).toEqual([0, expect.stringContaining('adapter written to served')])
    const again = await json('aggregate b.json --server b-server --last --out again')
    expect(again).toMatchObject({ method: 'svd' })
    expect(readdirSync(join(folder, 'b-server'))).toEqual(['version-1', 'version-2'])
  })
})
