import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeTinyBase } from './tiny-base.js'

const words = 'the quick brown fox jumps over a lazy dog while seven wizards brew strange potions at dawn'.split(' ')

/** Plan flags that train a small model in a moment. */
export const smallSettings = ['--rank', '2', '--targets', 'q_proj', '--cutoff', '64', '--epochs', '1', '--batch', '4']

/** Lines of eight seeded words each. */
function rows(count: number, seed: number): string {
  let state = seed
  const next = () => {
    state = (state * 48271) % 2147483647
    return state
  }
  const line = () => Array.from({ length: 8 }, () => words[next() % words.length]).join(' ')
  return Array.from(
    { length: count },
    () => `${JSON.stringify({ text: line(), speaker: next() % 2 ? 'ann' : 'bob' })}\n`,
  ).join('')
}

/** base/ and clients/north.jsonl, clients/south.jsonl in a folder. */
export function writeSmallWorld(folder: string): void {
  writeTinyBase(join(folder, 'base'))
  mkdirSync(join(folder, 'clients'), { recursive: true })
  writeFileSync(join(folder, 'clients', 'north.jsonl'), rows(20, 7))
  writeFileSync(join(folder, 'clients', 'south.jsonl'), rows(15, 11))
}
