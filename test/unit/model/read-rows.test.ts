import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openModel } from '../../../src/model/open.js'
import { readSafetensors } from '../../../src/model/safetensors.js'
import { sharedFile, skipReason } from '../../golden/shared-files.js'

const reason = skipReason('golden/tiny')
describe.skipIf(reason !== undefined)('rows of the base weights', () => {
  const folder = join(sharedFile('golden/tiny') ?? '', 'llama', 'model')
  const name = 'model.layers.0.mlp.up_proj.weight'

  it('are those of the file, wherever the part begins', async () => {
    await using base = await openModel(folder)
    const stored = (await readSafetensors(join(folder, 'model.safetensors'))).tensors.get(name)
    if (stored === undefined) throw new Error('the case has another layout')
    const [rows = 0, columns = 0] = stored.shape
    const all = new Float32Array(new Uint8Array(stored.data).buffer)
    expect(await base.weights.read(name, 0, rows)).toEqual(all)
    expect(await base.weights.read(name, 2, 3)).toEqual(all.slice(2 * columns, 5 * columns))
    expect(await base.weights.read(name, rows, 0)).toHaveLength(0)
  })

  it('are refused beyond the end, of a stranger and after close()', async () => {
    const base = await openModel(folder)
    const { weights } = base
    const rows = base.spec.tensors.find((tensor) => tensor.name === name)?.shape[0] ?? 0
    expect(() => weights.read(name, rows - 1, 2)).toThrow(/count/)
    expect(() => weights.read(name, -1, 2)).toThrow(/first/)
    expect(() => weights.read('model.none', 0, 1)).toThrow(/no tensor model.none/)
    weights.close()
    expect(() => weights.read(name, 0, 1)).toThrow(expect.objectContaining({ code: 'CLOSED' }))
    await base.close()
  })
})
