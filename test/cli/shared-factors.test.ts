/** ffa and fed-sb by hand: a part of the factors trains and travels, the rest is the plan's seed. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { smallWorld } from './small-world.js'

const { folder, json, run } = smallWorld()

describe.each([
  ['ffa', 'lora_B'],
  ['fed-sb', 'core'],
])('%s', (kind, tensor) => {
  it('goes from plan to text over two rounds', async () => {
    const small = `--trainable ${kind} --rank 2 --cutoff 64 --epochs 1 --rounds 2 --batch 4 --learning-rate 0.02`
    const plan = `${kind}.json`
    await json(`plan --base base --clients north,south ${small} --out ${plan}`)
    const train = (client: string, more: string) =>
      json(`train ${plan} --client ${client} --base base --data clients/${client}.jsonl ${more}`)
    const dry = JSON.stringify((await train('north', '--dry-run --out n.safetensors')).leaves)
    expect(dry).toContain(`q_proj.${tensor}`)
    expect(dry).not.toContain('lora_A')
    const adapters = ['', `${kind}1`, `${kind}2`]
    for (const round of [1, 2]) {
      const from = round === 1 ? '' : ` --start ${adapters[1]}`
      const files = ['south', 'north'].map((client) => `${kind}${round}-${client}.update.safetensors`)
      for (const file of files) await train(file.split(/[-.]/).at(-3)!, `--round ${round}${from} --out ${file}`)
      expect(await json(`inspect ${files[1]} --plan ${plan}`)).toMatchObject({ accepted: true })
      const told = await json(`aggregate ${plan} ${files.join(' ')} --round ${round}${from} --out ${adapters[round]}`)
      expect(told).toMatchObject({ rank: { least: 2, most: 2 }, relativeError: 0 })
      if (round === 2) expect(told).toMatchObject({ method: kind })
    }
    // What is served is a PEFT folder like any other.
    expect(existsSync(join(folder, adapters[2]!, 'adapter_config.json'))).toBe(true)
    expect(existsSync(join(folder, adapters[2]!, 'dense.safetensors'))).toBe(false)
    const update = statSync(join(folder, `${kind}1-north.update.safetensors`)).size
    expect(update).toBeLessThan(statSync(join(folder, adapters[2]!, 'adapter_model.safetensors')).size)
    const judged = async (more: string) =>
      (await json(`evaluate --base base --data clients/north.jsonl${more}`)).loss as number
    expect(await judged(` --adapter ${adapters[2]}`)).toBeLessThan(await judged(''))
    const text = await json(`generate --base base --adapter ${adapters[2]} --prompt the --max-tokens 3`)
    expect(typeof text.text).toBe('string')
  })

  it('is told to a person, and refused where it cannot be', async () => {
    const told = await run(`plan --base base --clients north --trainable ${kind} --rank 2 --out told.json`)
    expect(told.out).toMatch(kind === 'ffa' ? /FFA-LoRA \(A frozen\) rank 2/ : /Fed-SB \(a core/)
    expect(told.out).toMatch(/an update\n/)
    await json('plan --base base --clients north --rank 2 --out lora.json')
    const wrong = await run(`plan --base base --clients north --method ${kind} --out wrong.json`)
    expect(wrong.code).toBe(1)
    expect(wrong.err).toContain(`factors of kind 'lora' with the method '${kind}'`)
    expect(existsSync(join(folder, 'wrong.json'))).toBe(false)
  })
})
