// How fast is it beside what a user would pick instead?
//   npm run bench -- peers [--folder run/peers | --python V/bin/python] [--quick] [--json]
// The first time it makes a Python environment in the folder (PyTorch alone is gigabytes) and the model as transformers
// reads it; then training and scoring run on both sides, taking turns, and ratios are of the peer's best dtype.
// --python: an environment that is there already. --quick: one run each. Not part of `npm run bench` without a name.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { model, peerModel, shared } from './processes.mjs'
import { run as score } from './score.mjs'
import { run as train } from './train.mjs'

const PACKAGES = ['torch==2.13.0', 'transformers', 'peft', 'gguf', 'safetensors', 'accelerate', 'sentencepiece']

export async function run({ emit, flag, has }) {
  const folder = flag('folder', 'run/peers')
  const python = flag('python') ?? pythonIn(folder)
  const hf = join(folder, 'model')
  if (!existsSync(join(hf, 'done'))) {
    console.error('making the model as transformers reads it')
    mkdirSync(hf, { recursive: true })
    peerModel(python, shared(model), hf)
    writeFileSync(join(hf, 'done'), '')
  }
  const short = has('quick') ? { steps: '2', runs: '1' } : {}
  const common = { python, hf, ...short }
  for (const shape of [{ tokens: '128' }, { tokens: '256', compute: 'bf16' }, { tokens: '0', batch: '8' }])
    await train(asked({ ...common, ...shape }))
  await score(asked(common))

  function asked(values) {
    return { emit, flag: (name, otherwise) => values[name] ?? flag(name, otherwise), has: (name) => name === 'peers' }
  }
}

/** The environment of the folder, made where it is not there whole. */
function pythonIn(folder) {
  const place = join(folder, 'python')
  const python = join(place, 'bin/python')
  if (existsSync(join(place, 'done'))) return python
  for (const [command, ...args] of [
    ['python3', '-m', 'venv', place],
    [python, '-m', 'pip', 'install', '--quiet', ...PACKAGES],
  ]) {
    console.error([command, ...args].join(' '))
    const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    if (status !== 0) throw new Error(`'${command}' ended with ${error?.message ?? status}: mend it and start again`)
  }
  writeFileSync(join(place, 'done'), '')
  return python
}
