import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OneroundError } from '../../../src/errors.js'
import type { NativeBinding } from '../../../src/native/binding/addon.js'
import { loadFrom, native } from '../../../src/native/load.js'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'oneround-load-'))
  mkdirSync(join(root, 'build', 'Release'), { recursive: true })
})
afterEach(() => rmSync(root, { recursive: true }))

function failure(): OneroundError {
  try {
    loadFrom(root)
  } catch (error) {
    if (error instanceof OneroundError) return error
    throw error
  }
  throw new Error('loadFrom did not throw')
}

/** The compiler holds this to the types, the test below to the addon. */
const named = {
  cpu: true,
  random: true,
  orthonormal: true,
  Weights: true,
  squaredNorms: true,
  Session: true,
  memoryBudget: true,
  stepTogether: true,
  Probe: true,
  probeBudget: true,
  factorizeSum: true,
  factorizeDense: true,
  factorizeOnGrid: true,
  factorizeGrid: true,
  denseSum: true,
  sumSquaredNorm: true,
  productGram: true,
  addToGrid: true,
  addToGrids: true,
  gridValues: true,
  mergeGrids: true,
  elementBound: true,
  norms: true,
  coordinateWise: true,
  fileHeads: true,
  meanOfFiles: true,
  mergeRows: true,
  probePeak: true,
  probeBandwidth: true,
  probeProduct: true,
} satisfies Record<keyof NativeBinding, true>

describe('native', () => {
  it('loads the built addon, the same object each time, with everything that binding/ names', () => {
    const binding = native()
    expect(native()).toBe(binding)
    expect(Object.keys(binding).sort()).toEqual(Object.keys(named).sort())
    for (const name of Object.keys(named) as (keyof NativeBinding)[])
      expect(typeof binding[name], name).toBe('function')
    const { isa, available, cores, memoryAvailable } = binding.cpu()
    expect(available[0]).toBe('scalar')
    expect(available).toContain(isa)
    expect(cores).toBeGreaterThan(0)
    expect(memoryAvailable).toBeGreaterThan(2 ** 20)
  })

  it('where no addon was built, names the path it tried and the command that builds it', () => {
    const error = failure()
    expect(error.code).toBe('NATIVE')
    expect(error.message).toContain(`${join(root, 'build', 'Release', 'oneround.node')}: no such file`)
    expect(error.fix).toContain(`cd "${root}" && node scripts/install.cjs`)
  })

  it('where the addon is damaged, says what the loader said', () => {
    const path = join(root, 'build', 'Release', 'oneround.node')
    writeFileSync(path, 'not a library')
    const error = failure()
    expect(error.code).toBe('NATIVE')
    expect(error.message).toContain(path)
    expect(error.message).not.toContain('no such file')
    expect(error.cause).toBeInstanceOf(Error)
  })

  it('loads a copy of the addon from another package root', () => {
    copyFileSync(
      new URL('../../../build/Release/oneround.node', import.meta.url),
      join(root, 'build', 'Release', 'oneround.node'),
    )
    expect(typeof loadFrom(root).cpu).toBe('function')
  })
})
