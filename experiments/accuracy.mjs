// What each arm's adapter scores on multiple-choice questions that no client holds: losses say little of answers.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exactOf } from '../dist/diagnose/run-evidence.js'
import { evaluate } from '../dist/evaluate/evaluate.js'
import { readArc } from '../dist/evaluate/tasks/arc.js'
import { pool } from '../dist/federation/pooled.js'
import { readUpdate } from '../dist/update/update.js'
import { ARC_ROWS_OF_SITES } from './clients.mjs'

const QUESTIONS = 400

/** @returns the share of right answers by arm, with its standard error, over the same questions */
export async function accuracies({ base, clients, evidence, settings, o }) {
  const file = fileURLToPath(new URL('../../shared/data/arc/arc_easy.jsonl', import.meta.url))
  const questions = (await readArc([file])).slice(ARC_ROWS_OF_SITES, ARC_ROWS_OF_SITES + QUESTIONS)
  const arms = {}
  for (const arm of settings.arms) {
    const adapter = await adapterOf(arm, evidence, clients)
    const { accuracy, standardError } = await evaluate(base, questions, { ...o, task: 'choice', adapter })
    arms[arm] = { accuracy, standardError: standardError.accuracy }
  }
  return { seed: evidence.plan.train.seed, questions: questions.length, arms }
}

async function adapterOf(arm, evidence, clients) {
  if (arm === 'base') return undefined
  if (arm !== 'pooled') return exactOf(evidence, arm)
  const { plan } = pool(new Map(Object.entries(clients)), evidence.plan)
  return (await readUpdate(join(evidence.folder, 'updates/pooled/1/pooled.update.safetensors'), plan)).adapter
}
