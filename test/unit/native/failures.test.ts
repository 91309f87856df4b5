import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { OneroundError } from '../../../src/errors.js'
import { openModel } from '../../../src/model/open.js'
import { native } from '../../../src/native/load.js'

const refusal = (code: string) => expect.objectContaining({ code, fix: expect.stringMatching(/./) })

it('makes every failure of the addon an OneroundError: of functions, constructors, methods and promises', async () => {
  const failures: unknown[] = []
  const keep = (error: unknown) => failures.push(error)
  for (const call of [() => native().random(-1, 0, 1, 'uniform'), () => new (native().Weights)({} as never, [], [])]) {
    try {
      call()
    } catch (error) {
      keep(error)
    }
  }
  const nan = { rank: 1, a: new Float32Array([Number.NaN]), b: new Float32Array([1]), weight: 1 }
  await Promise.resolve()
    .then(() => native().factorizeSum(1, 1, [nan], 1, 0))
    .catch(keep)
  await using model = await openModel(fileURLToPath(new URL('../../../base', import.meta.url)))
  const options = { slots: [], overlay: [], threads: 1, rowsPerPass: 4, longestExample: 4, training: false }
  const session = new (native().Session)(model.weights, options)
  await Promise.resolve()
    .then(() => session.next(1))
    .catch(keep)
  session.close()
  try {
    session.parameters()
  } catch (error) {
    keep(error)
  }
  expect(failures).toHaveLength(5)
  expect(failures[4]).toEqual(refusal('CLOSED'))
  for (const failure of failures) expect(failure).toBeInstanceOf(OneroundError)
  expect(failures[0]).toEqual(refusal('ARGUMENT'))
})
