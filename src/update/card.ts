/** The model card of a federated adapter: what it belongs to and how it was made. Clients are counted, not named. */
import type { Adapter } from '../adapter/adapter.js'
import { adapterSha256 } from './digest.js'
import { planSha256 } from './plan.js'
import type { Plan } from './plan-schema.js'

interface CardSource {
  adapter: Adapter
  /** its files, by name, with the SHA-256 of each */
  files: readonly { name: string; sha256: string }[]
  plan?: Plan | undefined
  /** what `diagnose` said about one round being enough; absent: not judged */
  verdict?: string | undefined
}

export const STACK_WARNING =
  "This adapter was made by the method 'stack': it holds every client's factors verbatim. Whoever gets it gets each client's update, not only their sum."

/** README.md of a repository. */
export function cardText({ adapter, files, plan, verdict }: CardSource): string {
  const { base, revision, method = plan?.aggregate.method } = adapter.origin
  const ranks = adapter.layers.map(({ rank }) => rank)
  const rows: [string, string][] = [
    ['Base', `${plan?.base.id ?? base ?? 'not stated'}${revision === undefined ? '' : ` at ${revision}`}`],
    ['Clients', plan === undefined ? 'not stated' : plan.clients.length === 0 ? 'any' : String(plan.clients.length)],
    ['Rounds', plan === undefined ? 'not stated' : String(plan.rounds)],
    ['Method', method ?? 'not stated'],
    ['Weights of clients', weightsOf(plan)],
    ['Layers', `${ranks.length}, ranks ${Math.min(...ranks)} to ${Math.max(...ranks)}`],
    [
      'Privacy',
      'no noise was added; the server saw every update. An adapter may give away text that it was trained on',
    ],
    ['Is one round enough?', verdict ?? 'not judged'],
  ]
  const hashes: [string, string][] = [['adapter (factors and scales)', adapterSha256(adapter)]]
  if (plan !== undefined) {
    hashes.push(['plan', planSha256(plan)], ['weights of the base', plan.base.sha256])
  }
  for (const { name, sha256 } of files) hashes.push([name, sha256])
  return [
    '---',
    ...(isHubId(base) ? [`base_model: ${base}`] : []),
    'library_name: peft',
    'tags:',
    '- lora',
    '- federated-learning',
    '---',
    '',
    '# Federated LoRA adapter',
    '',
    ...(method === 'stack' ? [`**${STACK_WARNING}**`, ''] : []),
    ...table(['', ''], rows),
    '',
    '## SHA-256',
    '',
    ...table(['of', 'is'], hashes),
    '',
  ].join('\n')
}

/** Names of clients in a plan's own weights stay out. */
function weightsOf(plan: Plan | undefined): string {
  if (plan === undefined) return 'not stated'
  const { weights } = plan.aggregate
  return typeof weights === 'string' ? `by ${weights}` : 'fixed in the plan'
}

function isHubId(base: string | undefined): base is string {
  return base !== undefined && /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(base)
}

function table(head: readonly [string, string], rows: readonly (readonly [string, string])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), '|---|---|', ...rows.map(line)]
}
