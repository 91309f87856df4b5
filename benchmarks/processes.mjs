// Running one measurement in a process of its own, and the model of a Python peer.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Model, data and the peers' scripts lie in ../shared beside the repository unless they are given. */
export const shared = (path) => fileURLToPath(new URL(`../../shared/${path}`, import.meta.url))
export const model = 'models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf'
export const data = 'data/gsm8k/train.jsonl'

/** Runs a program and reads its last line as JSON; what it says on stderr is shown if it fails. */
export function measure(program, args, env = process.env) {
  const result = spawnSync(program, args.map(String), { encoding: 'utf8', maxBuffer: 1 << 26, env })
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')} failed:\n${result.error ?? result.stderr}`)
  return JSON.parse(result.stdout.trimEnd().split('\n').at(-1))
}

export const child = fileURLToPath(new URL('train-child.mjs', import.meta.url))

/** The peer's copy of a GGUF model, in `folder`. */
export function peerModel(python, gguf, folder) {
  const made = spawnSync(python, [shared('peers/hf_from_gguf.py'), gguf, folder, 'float32'], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`the peer's model could not be made:\n${made.error ?? made.stderr}`)
  // The tokenizer beside the GGUF file knows its end token; the one made from its metadata does not in transformers 5.
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    const beside = join(dirname(gguf), name)
    if (existsSync(beside)) writeFileSync(join(folder, name), readFileSync(beside))
  }
}
