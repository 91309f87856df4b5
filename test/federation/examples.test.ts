/** The scripts that a user copies, run as they stand on a tiny base. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { loadPeft } from '../../src/adapter/peft.js'
import { readPlan } from '../../src/update/plan.js'
import { readUpdate } from '../../src/update/update.js'
import { scratch } from '../lifecycle/child.js'

const script = (name: string) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))
const node = promisify(execFile)

it('federate-in-memory compares the arms and judges the adapter', { timeout: 240_000 }, async () => {
  using place = scratch()
  const { stdout } = await node(process.execPath, [script('federate-in-memory.mjs'), place.source])
  for (const text of ["'base'", "'gardener'", "'1x3'", "'3x1'", "'pooled'"]) expect(stdout).toContain(text)
  expect(stdout).toMatch(/sailor under the served adapter: loss \d+\.\d{3}/)
})

it('federate-by-file passes nothing but files between processes', { timeout: 240_000 }, async () => {
  using place = scratch()
  const folder = join(place.folder, 'run')
  const { stdout } = await node(process.execPath, [script('federate-by-file.mjs'), place.source, folder, '2'])
  expect(stdout.match(/^\$ oneround train /gm)).toHaveLength(4)
  const plan = await readPlan(join(folder, 'plan.json'))
  const { info } = await readUpdate(join(folder, 'south', 'south.2.update.safetensors'), plan)
  expect(info).toMatchObject({ client: 'south', round: 2, examples: 10 })
  const { layers } = await loadPeft(join(folder, 'after-2'))
  expect(layers.map((layer) => layer.name).sort()).toEqual(plan.layers.map((layer) => layer.name).sort())
})
