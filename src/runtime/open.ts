import { OneroundError } from '../errors.js'
import { openLlamaCpp } from './llama-cpp.js'
import { openNative } from './native.js'
import { openOnnx } from './onnx.js'
import { RUNTIMES, type Runtime, type RuntimeKind, type RuntimeOptions } from './runtime.js'

/**
 * Opens something that serves a base with adapters: this package's engine, onnxruntime-node in a worker thread (its run
 * blocks the loop it is called from), or llama.cpp through node-llama-cpp. The two others are optional packages.
 * @throws OneroundError UNSUPPORTED (a package that is not installed), NOT_FOUND, MALFORMED, MISMATCH
 */
export async function openRuntime(kind: RuntimeKind, o: RuntimeOptions): Promise<Runtime> {
  switch (kind) {
    case 'native':
      return openNative(o)
    case 'onnx':
      return openOnnx(o)
    case 'llama.cpp':
      return openLlamaCpp(o)
    default:
      throw new OneroundError('ARGUMENT', `There is no runtime called '${String(kind)}'.`, {
        found: String(kind),
        expected: RUNTIMES.join(', '),
        fix: 'Take one of these.',
      })
  }
}
