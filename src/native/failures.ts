import { type ErrorCode, OneroundError } from '../errors.js'
import type { NativeBinding } from './binding/addon.js'

// The addon makes plain errors with `code` and `fix`: it cannot name our class.
function ours(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof OneroundError || !('code' in error) || !('fix' in error))
    return error
  return new OneroundError(error.code as ErrorCode, error.message, { fix: String(error.fix), cause: error })
}

type Call = (this: unknown, ...args: unknown[]) => unknown

function guardedCall(call: Call): Call {
  return function (this: unknown, ...args) {
    try {
      const result = call.apply(this, args)
      if (!(result instanceof Promise)) return result
      return result.catch((error: unknown) => {
        throw ours(error)
      })
    } catch (error) {
      throw ours(error)
    }
  }
}

/**
 * A class whose constructor, methods and getters fail with our errors. The addon's own members cannot be redefined, so
 * instances get a prototype that stands before theirs.
 */
function guardedClass<T extends new (...args: never[]) => object>(wrapped: T): T {
  const prototype = Object.create(wrapped.prototype as object) as object
  for (const [name, { value, get }] of Object.entries(Object.getOwnPropertyDescriptors(wrapped.prototype))) {
    if (name === 'constructor') continue
    if (typeof value === 'function') Object.defineProperty(prototype, name, { value: guardedCall(value as Call) })
    if (get) Object.defineProperty(prototype, name, { get: guardedCall(get as Call) })
  }
  return new Proxy(wrapped, {
    construct(target, args) {
      try {
        return Object.setPrototypeOf(Reflect.construct(target, args), prototype) as object
      } catch (error) {
        throw ours(error)
      }
    },
  })
}

/** The addon with every failure an OneroundError, thrown or rejected. */
export function withOurErrors(binding: NativeBinding): NativeBinding {
  return {
    cpu: guardedCall(binding.cpu as Call) as NativeBinding['cpu'],
    memoryBudget: guardedCall(binding.memoryBudget as Call) as NativeBinding['memoryBudget'],
    stepTogether: guardedCall(binding.stepTogether as Call) as NativeBinding['stepTogether'],
    orthonormal: guardedCall(binding.orthonormal as Call) as NativeBinding['orthonormal'],
    random: guardedCall(binding.random as Call) as NativeBinding['random'],
    factorizeSum: guardedCall(binding.factorizeSum as Call) as NativeBinding['factorizeSum'],
    sumSquaredNorm: guardedCall(binding.sumSquaredNorm as Call) as NativeBinding['sumSquaredNorm'],
    addToGrid: guardedCall(binding.addToGrid as Call) as NativeBinding['addToGrid'],
    addToGrids: guardedCall(binding.addToGrids as Call) as NativeBinding['addToGrids'],
    gridValues: guardedCall(binding.gridValues as Call) as NativeBinding['gridValues'],
    mergeGrids: guardedCall(binding.mergeGrids as Call) as NativeBinding['mergeGrids'],
    norms: guardedCall(binding.norms as Call) as NativeBinding['norms'],
    elementBound: guardedCall(binding.elementBound as Call) as NativeBinding['elementBound'],
    denseSum: guardedCall(binding.denseSum as Call) as NativeBinding['denseSum'],
    factorizeGrid: guardedCall(binding.factorizeGrid as Call) as NativeBinding['factorizeGrid'],
    factorizeOnGrid: guardedCall(binding.factorizeOnGrid as Call) as NativeBinding['factorizeOnGrid'],
    factorizeDense: guardedCall(binding.factorizeDense as Call) as NativeBinding['factorizeDense'],
    coordinateWise: guardedCall(binding.coordinateWise as Call) as NativeBinding['coordinateWise'],
    productGram: guardedCall(binding.productGram as Call) as NativeBinding['productGram'],
    fileHeads: guardedCall(binding.fileHeads as Call) as NativeBinding['fileHeads'],
    meanOfFiles: guardedCall(binding.meanOfFiles as Call) as NativeBinding['meanOfFiles'],
    mergeRows: guardedCall(binding.mergeRows as Call) as NativeBinding['mergeRows'],
    probePeak: guardedCall(binding.probePeak as Call) as NativeBinding['probePeak'],
    probeBandwidth: guardedCall(binding.probeBandwidth as Call) as NativeBinding['probeBandwidth'],
    probeProduct: guardedCall(binding.probeProduct as Call) as NativeBinding['probeProduct'],
    Weights: guardedClass(binding.Weights),
    Session: guardedClass(binding.Session),
    Probe: guardedClass(binding.Probe),
    probeBudget: guardedCall(binding.probeBudget as Call) as NativeBinding['probeBudget'],
    squaredNorms: guardedCall(binding.squaredNorms as Call) as NativeBinding['squaredNorms'],
  }
}
