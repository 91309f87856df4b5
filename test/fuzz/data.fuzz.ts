/** Mutated data files, through the whole of loading. A Parquet file's decoding is also run in its process, some hundred times. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, it } from 'vitest'
import { loadExamples } from '../../src/data/load.js'
import { chooseColumns } from '../../src/data/parquet/columns.js'
import { footerBytes, parseFooter } from '../../src/data/parquet/footer.js'
import { checkPages } from '../../src/data/parquet/pages.js'
import { readParquet } from '../../src/data/parquet/read.js'
import { Slices } from '../../src/data/slices.js'
import { OneroundError } from '../../src/errors.js'
import { byteTokenizer } from '../unit/data/byte-tokenizer.js'
import { seeded } from '../unit/model/hostile.js'
import { fuzz, mutate, ROUNDS } from './mutate.js'

/** The decoding process of Parquet takes a tenth of a second to start. */
const PROCESSES = 200

const utf8 = (value: string) => new TextEncoder().encode(value)
const rows = Array.from({ length: 6 }, (_, i) => ({ prompt: `What is ${i}?`, completion: `"${i}", é`, topic: i }))
const table = rows.map(({ prompt, topic }) => `"${prompt}","a ""b"", ${topic}",${topic}`)
const files: [name: string, ending: string, sound: Uint8Array][] = [
  ['JSON Lines', 'jsonl', utf8(rows.map((row) => JSON.stringify(row)).join('\n'))],
  ['a JSON list', 'json', utf8(JSON.stringify(rows))],
  ['CSV', 'csv', utf8(['prompt,completion,topic', ...table].join('\r\n'))],
  ['TSV', 'tsv', utf8(['prompt\tcompletion', ...rows.map(({ topic }) => `p\t${topic}`)].join('\n'))],
]

const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'oneround-fuzz-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const parquet = (name: string) => readFileSync(new URL(`../unit/data/parquet/files/${name}.parquet`, import.meta.url))

describe('mutated data files', () => {
  const options = { template: 'prompt-completion', cutoff: 64, lossOn: 'all' as const, tokenizer: byteTokenizer() }

  it.each(files)('%s', (name, ending, sound) => {
    const path = join(folder, `data.${ending}`)
    return fuzz(name, sound, (bytes) => {
      writeFileSync(path, bytes)
      return loadExamples(path, options)
    })
  })

  it.each(['every', 'pages2', 'gzip'])("Parquet's footer and pages: %s", (name) =>
    fuzz(`Parquet, ${name}`, parquet(name), (bytes) => {
      const length = footerBytes(bytes.subarray(-8), bytes.length, 'x')
      const footer = parseFooter(bytes.subarray(-length), bytes.length, 'x')
      chooseColumns(footer, ['messages'], 'x')
      for (const { chunks } of footer.groups) {
        for (const { meta, start, end } of chunks) checkPages(bytes.subarray(start, end), meta, 'x')
      }
    }),
  )

  it.each(['every', 'pages2'])('Parquet in its process: %s', async (name) => {
    const path = join(folder, 'data.parquet')
    const next = seeded(2)
    for (let round = 0; round < Math.min(ROUNDS, PROCESSES); round++) {
      writeFileSync(path, mutate(parquet(name), next))
      const limits = { heap: 256, time: 5000 }
      await readParquet(path, ['messages'], new Slices(), async () => undefined, limits).catch((error: unknown) => {
        if (!(error instanceof OneroundError)) throw new Error(`round ${round}`, { cause: error })
      })
    }
  })
})
