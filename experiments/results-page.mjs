// docs/results.md from experiments/results/*.json.
import { existsSync, readFileSync } from 'node:fs'
import { claimRows } from './claims.mjs'
import { studyNames } from './study.mjs'
import { accuracyTable, arrivalTable, mainTable, reasonsTable, remediesTable, rivalsTable, table } from './tables.mjs'

/** Results of the studies that have run, by name. */
function readResults() {
  return Object.fromEntries(
    studyNames.flatMap((name) => {
      const file = new URL(`results/${name}.json`, import.meta.url)
      return existsSync(file) ? [[name, JSON.parse(readFileSync(file, 'utf8'))]] : []
    }),
  )
}

export function resultsPage() {
  const studies = readResults()
  return [
    '# What the experiments say',
    '',
    'Made by `npm run results` from `experiments/results/*.json`; each of those by `npm run experiment -- NAME`, which',
    'simulates every cell again from its seeds. Losses are nats a token on held-out text, means over seeds; data and training',
    'are drawn anew with each seed. A difference is paired by held-out example, with a 95 % interval that counts both the',
    'choice of examples and the seeds. The margin is 2 % of what the better arm gains over the base. See [verdict](verdict.md).',
    '',
    "## The paper's claims",
    '',
    table(['claim', 'measured here', 'so it'], claimRows(studies)),
    ...Object.values(studies).flatMap(section),
  ].join('\n')
}

function section(study) {
  const { cells, title, question, device, isa, commit } = study
  const seconds = cells.reduce((sum, cell) => sum + cell.seconds, 0)
  const seeds = cells[0].seeds.length
  const compares = cells.some(({ contrasts }) => contrasts.length > 0)
  const parts = [
    ['', compares ? mainTable(study) : ''],
    [
      'Why: tau over merged weights; L and the turn of the gradient between start and end; the measured gap of both ends beside the two bounds; the updates of the clients.',
      reasonsTable(study),
    ],
    ['Other arms against one round.', rivalsTable(study)],
    [
      'One-round remedies: their loss minus that of the plain mean, on the half that nothing was fitted on; bold where the interval leaves out 0.',
      remediesTable(study),
    ],
    ['Loss after each arrival, and the change when one client is taken out.', arrivalTable(study)],
    [
      'ARC-Easy: the most likely of the choices, on questions that no client holds, ± one standard error.',
      accuracyTable(study),
    ],
  ]
  return [
    '',
    `## ${title}`,
    '',
    `${question} \`npm run experiment -- ${study.study}\`, ${seeds} ${seeds === 1 ? 'seed' : 'seeds'}, ${describe(cells[0].settings)}; ${Math.round(seconds / 60)} min of one process on ${device}, ${isa}, commit ${commit}.`,
    ...parts
      .filter(([, text]) => text !== '')
      .flatMap(([words, text]) => ['', ...(words === '' ? [] : [words, '']), text]),
  ]
}

/** Where a cell says nothing else. */
function describe({ base, source, clients, examples, heldOut, horizon, batch, rank, learningRate, split }) {
  return `${base} base, ${source}, ${clients} clients, ${split}, ${examples} examples of which ${Math.round(100 * heldOut)} % judge, ${horizon} epochs, batch ${batch}, rank ${rank}, step ${learningRate}`
}
