/** One small trained model in two files: as a Hugging Face folder and as GGUF, whose q and k rows lie in another order. */
import { describe, expect, it } from 'vitest'
import { openModel } from '../../src/model/open.js'
import { native } from '../../src/native/load.js'
import { batchOf, relativeError } from './compare.js'
import { sharedFile, skipReason } from './shared-files.js'

const folder = 'models/stories260K'
const gguf = `${folder}/stories260K-f32.gguf`

const reason = skipReason(folder, gguf)
describe.skipIf(reason !== undefined)('stories260K', () => {
  const logits = async (source: string) => {
    await using base = await openModel(sharedFile(source) ?? '')
    const { vocabulary } = base.spec.shape
    // Token ids of no meaning will do: both files must say the same of them.
    const row = Array.from({ length: 40 }, (_, i) => (i === 0 ? 1 : 3 + ((i * 37) % (vocabulary - 3))))
    const session = new (native().Session)(base.weights, {
      slots: [],
      overlay: [],
      threads: 1,
      rowsPerPass: 64,
      longestExample: 64,
      training: false,
    })
    try {
      return { values: await session.logits(batchOf([row])), layers: base.spec.linearLayers }
    } finally {
      session.close()
    }
  }

  it('says the same from both files', async () => {
    const hf = await logits(folder)
    const other = await logits(gguf)
    expect(other.layers).toEqual(hf.layers)
    expect(relativeError(other.values, hf.values)).toBeLessThan(1e-6)
    expect(hf.values.every((value) => Number.isFinite(value))).toBe(true)
  })
})
