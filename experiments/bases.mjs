// The bases that studies name.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeTwin } from '../dist/diagnose/calibrate/twin.js'
import { openModel } from '../dist/model/open.js'

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url))
const EMBEDDED = path('../base')
const SMOLLM2 = path('../../shared/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf')

/** `embedded`; `random twin`: its architecture with fresh weights, written below `folder`; `smollm2`. */
export async function openBase(name, folder) {
  if (name === 'smollm2') return openModel(SMOLLM2)
  if (name === 'embedded') return openModel(EMBEDDED)
  const twin = join(folder, 'twin')
  const embedded = await openModel(EMBEDDED)
  await writeTwin(embedded, EMBEDDED, twin)
  await embedded.close()
  return openModel(twin)
}
