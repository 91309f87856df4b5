import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { native } from '../../../src/native/load.js'
import { computeOf } from '../../../src/train/compute.js'

describe('compute', () => {
  let forced: string | undefined
  beforeEach(() => {
    forced = process.env.ONEROUND_ISA
  })
  afterEach(() => {
    if (forced === undefined) delete process.env.ONEROUND_ISA
    else process.env.ONEROUND_ISA = forced
  })

  it('takes bf16 where the set in use has it, if nobody asks for f32', () => {
    expect(computeOf('auto')).toBe(native().cpu().bf16 ? 'bf16' : 'f32')
    expect(computeOf('f32')).toBe('f32')
  })

  it('is f32 on a lower set, and refuses bf16 there', () => {
    process.env.ONEROUND_ISA = 'scalar'
    expect(computeOf('auto')).toBe('f32')
    expect(() => computeOf('bf16')).toThrow(expect.objectContaining({ code: 'UNSUPPORTED', found: expect.any(String) }))
  })
})
