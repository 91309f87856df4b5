// How many multiple-choice questions a second are scored?
//   npm run bench -- score [--model FILE --runs 3 --arc 60 --mmlu 40 --threads N]
//   npm run bench -- score --peers --python V/bin/python --hf DIR     beside transformers, taking turns
// ARC (easy) without solved examples: a question's choices share its prompt. MMLU with 5: the questions of a subject share
// those, too. DIR is the same model as a Hugging Face folder; the peer runs in float32 and bfloat16 and the faster counts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { choose } from '../dist/evaluate/choice.js'
import { readArc } from '../dist/evaluate/tasks/arc.js'
import { readMmlu } from '../dist/evaluate/tasks/mmlu.js'
import { openModel } from '../dist/model/open.js'
import { LineProcess } from './peers/line-process.mjs'
import { percentiles } from './percentiles.mjs'

const shared = (path) => fileURLToPath(new URL(`../../shared/${path}`, import.meta.url))
const peerTypes = ['float32', 'bfloat16']

/** The peer is slow on long prompts: it scores the first questions only, and as many of ours are timed for them. */
const peerQuestions = { 'arc-easy 0-shot': 20, 'mmlu 5-shot': 3 }

export async function run({ emit, flag, has }) {
  const model = flag('model', shared('models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf'))
  const threads = Number(flag('threads', os.availableParallelism()))
  const runs = Number(flag('runs', 3))
  const compute = flag('compute', 'f32')
  const tasks = {
    'arc-easy 0-shot': await readArc([flag('arc-data', shared('data/arc/arc_easy.jsonl'))], {
      limit: Number(flag('arc', 60)),
    }),
    'mmlu 5-shot': await readMmlu([flag('mmlu-data', shared('data/mmlu/test/abstract_algebra_test.csv'))], {
      limit: Number(flag('mmlu', 40)),
    }),
  }
  const python = flag('python')
  const folder = flag('hf')
  if (has('peers') && (python === undefined || folder === undefined))
    throw new Error('--peers needs --python (with torch and transformers) and --hf (the model as a folder)')
  const base = await openModel(model)
  const place = mkdtempSync(join(os.tmpdir(), 'oneround-bench-'))
  try {
    for (const [task, questions] of Object.entries(tasks)) {
      const peers = has('peers') ? await startPeers(python, folder, place, task, questions, threads) : []
      await choose(base, questions.slice(0, 1), { threads, compute })
      const speeds = { oneround: [], ...Object.fromEntries(peers.map(({ type }) => [type, []])) }
      let made = []
      let furthest = 0
      for (let i = 0; i < runs; i++) {
        const start = performance.now()
        made = await choose(base, questions, { threads, compute })
        speeds.oneround.push((questions.length / (performance.now() - start)) * 1000)
        for (const { type, peer, count } of peers) {
          const { seconds, loglikelihoods } = await peer.measure()
          speeds[type].push(count / seconds)
          if (type === 'float32') furthest = Math.max(furthest, difference(loglikelihoods, made))
        }
      }
      for (const { peer } of peers) peer.close()
      const shape = { task, model: model.split('/').at(-1), compute, questions: questions.length, runs }
      emit({
        what: 'score',
        unit: 'questions/s',
        shape,
        provider: 'oneround',
        threads,
        ...percentiles(speeds.oneround),
      })
      for (const { type, count } of peers)
        emit({
          what: 'score',
          unit: 'questions/s',
          shape: { ...shape, questions: count, dtype: type },
          provider: 'transformers',
          threads,
          ...percentiles(speeds[type]),
        })
      if (peers.length === 0) continue
      const best = Array.from({ length: runs }, (_, i) => Math.max(...peers.map(({ type }) => speeds[type][i])))
      const ratios = speeds.oneround.map((speed, i) => speed / best[i])
      emit({ what: 'score, ratio', unit: 'oneround / transformers', shape, provider: 'both', ...percentiles(ratios) })
      emit({
        what: 'score, furthest log-likelihood',
        unit: 'nats',
        shape,
        provider: 'both',
        ...percentiles([furthest]),
      })
    }
  } finally {
    rmSync(place, { recursive: true, force: true })
    await base.close()
  }
}

async function startPeers(python, folder, place, task, questions, threads) {
  const count = Math.min(peerQuestions[task], questions.length)
  const file = join(place, 'questions.json')
  const rows = questions
    .slice(0, count)
    .map(({ prompt, choices }) => ({ prompt, choices: choices.map((c) => ` ${c}`) }))
  writeFileSync(file, JSON.stringify(rows))
  const script = fileURLToPath(new URL('peers/score.py', import.meta.url))
  const peers = []
  for (const type of peerTypes) {
    const peer = new LineProcess(python, [script, folder, file, type, String(threads)])
    await peer.next()
    peers.push({ type, peer, count })
  }
  return peers
}

/** Largest difference between the peer's log-likelihoods and ours. */
function difference(theirs, ours) {
  return Math.max(...theirs.flatMap((row, i) => row.map((value, j) => Math.abs(value - ours[i].loglikelihoods[j]))))
}
