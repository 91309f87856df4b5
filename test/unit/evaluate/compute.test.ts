import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { choose } from '../../../src/evaluate/choice.js'
import { openModel } from '../../../src/model/open.js'
import { native } from '../../../src/native/load.js'

const base = fileURLToPath(new URL('../../../base', import.meta.url))
const questions = [{ prompt: 'Fellow citizens of the', choices: ['Senate', 'United States', 'zebra'], answer: 0 }]

it('losses may be computed in bf16 where the machine has it, and are refused where not', async () => {
  await using model = await openModel(base)
  const [exact] = await choose(model, questions)
  const rounded = choose(model, questions, { compute: 'bf16' })
  if (!native().cpu().bf16) {
    await expect(rounded).rejects.toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
    return
  }
  const found = (await rounded)[0]?.loglikelihoods ?? []
  expect(found).not.toEqual(exact?.loglikelihoods)
  for (const [i, value] of (exact?.loglikelihoods ?? []).entries())
    expect(Math.abs((found[i] ?? 0) - value)).toBeLessThan(0.1)
})
