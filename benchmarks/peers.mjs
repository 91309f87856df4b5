// How fast is it beside what a user would pick instead?
//   npm run bench -- peers [--python V/bin/python] [--folder run/peers] [--quick] [--json]
// The first time it installs the peers (scripts/install-peers.mjs --python: about 2 GB) and makes the model as
// transformers reads it; then training and scoring run on both sides, taking turns, and ratios are of the peer's best
// dtype. --quick: one run each. Not part of `npm run bench` without a name.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { computes } from './peak.mjs'
import { model, peerModel, shared } from './processes.mjs'
import { run as score } from './score.mjs'
import { run as train } from './train.mjs'

const inRepository = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))

export async function run({ emit, flag, has }) {
  const folder = flag('folder', 'run/peers')
  const python = flag('python') ?? process.env.ONEROUND_PEER_PYTHON ?? installed()
  const hf = join(folder, 'model')
  if (!existsSync(join(hf, 'done'))) {
    console.error('making the model as transformers reads it')
    mkdirSync(hf, { recursive: true })
    peerModel(python, shared(model), hf)
    writeFileSync(join(hf, 'done'), '')
  }
  const short = has('quick') ? { steps: '2', runs: '1' } : {}
  const common = { python, hf, ...short }
  const best = computes().at(-1)
  for (const shape of [{ tokens: '128' }, { tokens: '256', compute: best }, { tokens: '0', batch: '8' }])
    await train(asked({ ...common, ...shape }))
  await score(asked({ ...common, compute: best }))

  function asked(values) {
    return { emit, flag: (name, otherwise) => values[name] ?? flag(name, otherwise), has: (name) => name === 'peers' }
  }
}

/** The peers' Python, installed where it is not there. */
function installed() {
  const python = inRepository('test/.peers/python/bin/python')
  if (spawnSync(python, ['-c', 'import torch, transformers, peft, gguf']).status === 0) return python
  const script = inRepository('scripts/install-peers.mjs')
  const { status } = spawnSync(process.execPath, [script, '--python'], { stdio: ['ignore', 2, 2] })
  if (status !== 0) throw new Error('the peers could not be installed (see above)')
  return python
}
