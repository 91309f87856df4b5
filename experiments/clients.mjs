// The clients of a cell: a base, a source of text and a rule by which it is divided.
import { readFileSync } from 'node:fs'
import { makeDataset } from '../dist/data/dataset.js'
import { loadExamples } from '../dist/data/load.js'
import { presidents } from '../dist/data/presidents.js'
import { permutation } from '../dist/data/random.js'

const shared = (path) => new URL(`../../shared/data/${path}`, import.meta.url)
const lines = (path) =>
  readFileSync(shared(path), 'utf8')
    .split('\n')
    .filter((line) => line !== '')

/** Draws of this folder: apart from those of training and dealing. */
const STREAM = 90

/**
 * Each source gives tokenised examples whose fields say what a split may go by. `settings.examples` of them are drawn with
 * the seed, mixed (the last part of each client is held out) and dealt.
 * @returns client name -> Dataset
 */
export async function clientsOf(base, settings, seed) {
  const { source, split, clients, examples, cutoff } = settings
  const all = await SOURCES[source](base.tokenizer, { seed, cutoff })
  const from = split === 'natural' ? ofLargest(all, clients) : all
  const drawn = [...permutation(from.length, seed, STREAM)].slice(0, examples).map((i, id) => ({ ...from[i], id }))
  if (drawn.length < examples)
    throw new Error(`${source} has ${drawn.length} examples and the cell asks for ${examples}`)
  const dataset = makeDataset(drawn)
  return split === 'natural'
    ? dataset.split(`field:${NATURAL[source]}`, { seed })
    : dataset.split(split, { clients, seed })
}

/** What a natural client is. */
const NATURAL = { presidents: 'president', shakespeare: 'speaker', mixture: 'site' }

/** The examples of the clients with the most of them. */
function ofLargest(all, clients) {
  const count = new Map()
  const owner = ({ fields }) => fields.president ?? fields.speaker ?? fields.site
  for (const example of all) count.set(owner(example), (count.get(owner(example)) ?? 0) + 1)
  const names = [...count].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).map(([name]) => name)
  const taken = new Set(names.slice(0, clients))
  return all.filter((example) => taken.has(owner(example)))
}

const SOURCES = {
  /** excerpts of State of the Union addresses after 1945 */
  async presidents(tokenizer, o) {
    const parts = await presidents(tokenizer, o)
    return Object.entries(parts).flatMap(([president, { train, heldOut }]) =>
      [...train.examples, ...heldOut.examples].map((example) => ({ ...example, fields: { president } })),
    )
  },

  /** speeches of plays; a speaker is who says them */
  async shakespeare(tokenizer, { cutoff }) {
    const speeches = readFileSync(shared('shakespeare/input.txt'), 'utf8').split('\n\n')
    const rows = speeches.flatMap((speech) => {
      const [, speaker, text] = /^([^\n:]+):\n([\s\S]+)$/.exec(speech) ?? []
      return text === undefined ? [] : [{ speaker, text }]
    })
    return load(rows, { template: 'text', cutoff, tokenizer })
  },

  /** problems with worked answers */
  async gsm8k(tokenizer, { cutoff }) {
    return load(gsm8kRows(), { template: '{text}{completion}', cutoff, tokenizer })
  },

  /** four kinds of task, 20 sites of one kind each: five a kind, each with its own rows */
  async mixture(tokenizer, { cutoff }) {
    const rows = Object.entries({ gsm8k: gsm8kRows, arc: arcRows, sst2: sst2Rows, alpaca: alpacaRows }).flatMap(
      ([kind, rowsOf]) =>
        rowsOf()
          .slice(0, SITES_A_KIND * ROWS_A_SITE)
          .map((row, i) => ({ ...row, site: `${kind}-${Math.floor(i / ROWS_A_SITE)}` })),
    )
    return load(rows, { template: '{text}{completion}', cutoff, tokenizer })
  },
}
const SITES_A_KIND = 5
const ROWS_A_SITE = 60
/** The first rows of ARC that sites hold: questions after them are nobody's. */
export const ARC_ROWS_OF_SITES = SITES_A_KIND * ROWS_A_SITE

async function load(rows, o) {
  const { examples } = await loadExamples(rows, { lossOn: 'all', keep: Object.keys(rows[0]), ...o })
  return [...examples]
}

function gsm8kRows() {
  return lines('gsm8k/train.jsonl').map((line) => {
    const { question, answer } = JSON.parse(line)
    return { text: `Question: ${question}\nAnswer: `, completion: answer }
  })
}

function arcRows() {
  return lines('arc/arc_easy.jsonl').map((line) => {
    const { query, choices, gold } = JSON.parse(line)
    return { text: `${query}\nAnswer: `, completion: choices[gold] }
  })
}

function sst2Rows() {
  return lines('sst2/train.tsv').map((line) => {
    const [text, label] = line.split('\t')
    return { text: `Review: ${text}\nSentiment: `, completion: label === '1' ? 'positive' : 'negative' }
  })
}

function alpacaRows() {
  return JSON.parse(readFileSync(shared('alpaca_demo/alpaca_en_demo.json'), 'utf8')).map(
    ({ instruction, input, output }) => ({
      text: `Instruction: ${instruction}\n${input === '' ? '' : `Input: ${input}\n`}Response: `,
      completion: output,
    }),
  )
}
