/** Tensors of a safetensors file as f32. F16 and BF16 widen without loss. Files are little-endian, as is every machine we build for. */
import { OneroundError } from '../errors.js'
import type { SafetensorsTensor } from '../model/safetensors.js'

/** A copy of the tensor's numbers, row-major. */
export function floatsOf(tensor: SafetensorsTensor, what: string): Float32Array {
  const { dtype, data } = tensor
  if (dtype === 'F32') return new Float32Array(data.slice().buffer)
  if (dtype !== 'BF16' && dtype !== 'F16') {
    throw new OneroundError('UNSUPPORTED', `${what} has a type that is not read.`, {
      found: dtype.slice(0, 40),
      expected: 'F32, F16 or BF16',
      fix: 'Convert the adapter to float32.',
    })
  }
  const halves = new Uint16Array(data.slice().buffer)
  const bits = new Uint32Array(halves.length)
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i] ?? 0
    bits[i] = dtype === 'BF16' ? half << 16 : widenHalf(half)
  }
  return new Float32Array(bits.buffer)
}

/** The f32 bit pattern of an IEEE 754 binary16 number: 1 sign, 5 exponent and 10 fraction bits. */
function widenHalf(half: number): number {
  const sign = (half & 0x8000) << 16
  const exponent = (half >> 10) & 31
  const fraction = half & 1023
  if (exponent === 31) return sign | 0x7f800000 | (fraction << 13)
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13)
  if (fraction === 0) return sign
  // Subnormal: fraction * 2^-24. Shift the leading one out of the fraction and lower the exponent as often.
  const shift = Math.clz32(fraction) - 21
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 1023) << 13)
}
