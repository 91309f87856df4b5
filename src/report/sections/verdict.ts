import type { Diagnosis, VerdictKind } from '../../diagnose/types.js'
import { definitions, list, paragraph, section } from '../html.js'
import { formatBytes, formatCount } from '../numbers.js'

/** What a verdict says in a few words. */
const verdictTitles: Readonly<Record<VerdictKind, string>> = {
  'one-round-suffices': 'One round suffices',
  'one-round-costs': 'One round costs',
  'several-rounds-needed': 'Several rounds are needed',
  'not-enough-evidence': 'Not enough evidence',
}

const kinds: Readonly<Record<Diagnosis['evidence'], string>> = {
  client: "one client's data, before training",
  updates: 'update files alone',
  simulation: 'a simulation with all data',
}

/** The verdict, before anything else: the sentence, what carries it, what it lacks, what would change it. */
export function verdictSection({ verdict, evidence, notes }: Diagnosis): string {
  const { kind, sentence, numbers, confidence, missing, wouldChange } = verdict
  const sure = confidence === undefined ? 'nothing decided' : `confidence ${Math.round(confidence * 100)} %`
  return section(verdictTitles[kind], [
    paragraph(sentence, 'lede'),
    paragraph(`Evidence: ${kinds[evidence]}; ${sure}.`, 'soft'),
    definitions(numbers.map(({ name, value }) => [wordsOf(name), numberOf(name, value)])),
    list(missing.map(({ reason, enough }) => `Missing: ${reason}. Enough would be: ${enough}.`)),
    list(wouldChange.map((change) => `Would change it: ${change}`)),
    list(notes),
  ])
}

const INTERVAL: Readonly<Record<string, string>> = { low: 'interval from', high: 'interval to' }

/** `bytesSaved` as `bytes saved`. */
function wordsOf(name: string): string {
  return INTERVAL[name] ?? name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

function numberOf(name: string, value: number): string {
  if (!Number.isFinite(value)) return 'unknown'
  if (name.startsWith('bytes')) return formatBytes(value)
  return Number.isInteger(value) ? formatCount(value) : value.toPrecision(4)
}
