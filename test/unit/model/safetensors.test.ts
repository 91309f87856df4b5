import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  parseSafetensors,
  readSafetensors,
  readSafetensorsHeader,
  type SafetensorsTensor,
  serializeSafetensors,
} from '../../../src/model/safetensors.js'
import { flipBits, refused } from './hostile.js'

const tensors = new Map<string, SafetensorsTensor>([
  ['b', { dtype: 'F32', shape: [2, 3], data: new Uint8Array(new Float32Array([1, 2, 3, 4, 5, 6]).buffer) }],
  ['a', { dtype: 'BF16', shape: [3], data: new Uint8Array([1, 2, 3, 4, 5, 6]) }],
  ['empty', { dtype: 'F32', shape: [0, 4], data: new Uint8Array() }],
])
const metadata = { z: '1', format: 'pt' }
const sound = serializeSafetensors(tensors, metadata)

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oneround-st-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** A file with this header text and so many bytes of data. */
function raw(header: string, dataBytes: number, length = BigInt(Buffer.byteLength(header))): Buffer {
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(length)
  return Buffer.concat([prefix, Buffer.from(header), Buffer.alloc(dataBytes)])
}

describe('safetensors', () => {
  it('comes back as it was written, from memory and from a file', async () => {
    const file = join(folder, 'm.safetensors')
    await writeFile(file, sound)
    for (const read of [parseSafetensors(sound, 'memory'), await readSafetensors(file)]) {
      expect(read.metadata).toEqual(metadata)
      expect([...read.tensors.keys()].sort()).toEqual(['a', 'b', 'empty'])
      for (const [name, tensor] of tensors) expect(read.tensors.get(name)).toEqual(tensor)
    }
    const header = await readSafetensorsHeader(file)
    expect(header.fileBytes).toBe(sound.length)
    expect(Math.max(...header.tensors.map(({ offset, bytes }) => offset + bytes))).toBe(sound.length)
  })

  it('gives the same bytes in whatever order it is given things', () => {
    const other = serializeSafetensors(new Map([...tensors].reverse()), { format: 'pt', z: '1' })
    expect(Buffer.from(other).equals(sound)).toBe(true)
    expect(new DataView(sound.buffer).getBigUint64(0, true) % 8n).toBe(0n)
  })

  it('will not write a tensor whose bytes do not fit its shape', () => {
    const wrong = new Map([['a', { dtype: 'F32', shape: [2], data: new Uint8Array(4) }]])
    expect(() => serializeSafetensors(wrong, {})).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  })

  it('is refused wherever it is cut, and with anything behind it', async () => {
    for (let length = 0; length < sound.length; length++) {
      expect(refused(() => parseSafetensors(sound.subarray(0, length), 'cut'))).toBe(true)
    }
    expect(refused(() => parseSafetensors(Buffer.concat([sound, Buffer.alloc(1)]), 'longer'))).toBe(true)
    const file = join(folder, 'cut.safetensors')
    await writeFile(file, sound)
    await truncate(file, sound.length - 1)
    await expect(readSafetensorsHeader(file)).rejects.toMatchObject({ code: 'MALFORMED' })
    await expect(readSafetensorsHeader(join(folder, 'none'))).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(readSafetensorsHeader(folder)).rejects.toMatchObject({ name: 'OneroundError' })
  })

  it('with flipped bits is refused or read, never anything else', () => {
    const header = sound.length - 30
    expect(flipBits(sound, 4000, header, (bytes) => parseSafetensors(bytes, 'flipped'))).toBeGreaterThan(3000)
  })

  const f32 = (begin: number, end: number, shape = '[1]') =>
    `{"dtype":"F32","shape":${shape},"data_offsets":[${begin},${end}]}`
  it.each([
    ['a header length beyond the limit', raw('{}', 0, 2n ** 63n)],
    ['a header length beyond the file', raw('{}', 0, 3n)],
    ['no JSON', raw('{x', 0)],
    ['an array', raw('[]', 0)],
    ['an overlap', raw(`{"a":${f32(0, 4)},"b":${f32(0, 4)}}`, 4)],
    ['a hole', raw(`{"a":${f32(0, 4)},"b":${f32(8, 12)}}`, 12)],
    ['a hole at the start', raw(`{"a":${f32(4, 8)}}`, 8)],
    ['a tensor behind the end', raw(`{"a":${f32(0, 4)}}`, 3)],
    ['one name twice', raw(`{"a":${f32(0, 4)},"a":${f32(0, 4)}}`, 4)],
    ['one name twice, escaped', raw(`{"a":${f32(0, 4)},"\\u0061":${f32(0, 4)}}`, 4)],
    ['a size that overflows', raw(`{"a":${f32(0, 4, '[9007199254740991,9007199254740991]')}}`, 4)],
    ['a negative size', raw(`{"a":${f32(0, 4, '[-1,-1]')}}`, 4)],
    ['offsets backwards', raw(`{"a":${f32(4, 0)}}`, 4)],
    ['too many dimensions', raw(`{"a":${f32(0, 4, '[1,1,1,1,1,1,1,1,1]')}}`, 4)],
    ['an unknown type', raw('{"a":{"dtype":"Q9","shape":[1],"data_offsets":[0,4]}}', 4)],
    ['an unknown key', raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}', 4)],
    ['metadata that is no string', raw('{"__metadata__":{"a":1}}', 0)],
    ['the name __proto__', raw(`{"__proto__":${f32(0, 4)}}`, 4)],
    ['deep nesting', raw(`{"a":${'['.repeat(1_000_000)}`, 0)],
    ['bytes that are not UTF-8', Buffer.concat([raw('{}', 0, 4n), Buffer.from([0xff, 0xfe])])],
  ])('refuses %s', (_what, bytes) => {
    const start = performance.now()
    expect(refused(() => parseSafetensors(bytes, 'hostile'))).toBe(true)
    expect(performance.now() - start).toBeLessThan(500)
  })
})
