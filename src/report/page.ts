import type { Arm } from '../federation/arms.js'
import type { Plan } from '../update/plan.js'
import { domainOf, lineChart, stripChart } from './chart.js'
import { escapeHtml, shorten } from './escape.js'
import { notesOf } from './notes.js'
import { formatBytes, formatCount, formatLoss, formatPerplexity, formatSeconds } from './numbers.js'
import { reading } from './reading.js'
import { style } from './style.js'
import { clientsOf, columnsOf, rowsOf, shareOfWay } from './summary.js'

/** Losses of one client's training in one arm, over the whole horizon. */
export interface Curve {
  arm: string
  /** undefined: pooled training */
  client?: string | undefined
  /** x: optimizer steps since the arm began; y: mean loss of the step's trained tokens */
  points: { x: number; y: number }[]
}

/** How an arm's last round was closed. */
export interface Closing {
  arm: string
  method: string
  /** of the adapter's layers */
  ranks: number[]
  /** of the adapter against the exact sum, Frobenius, over all layers */
  relativeError: number
}

export interface ReportData {
  plan: Plan
  planSha256: string
  arms: readonly Arm[]
  curves: readonly Curve[]
  closings: readonly Closing[]
  environment: Record<string, unknown>
  /** UTC, of the last event */
  time?: string | undefined
}

/** The whole report as one HTML page that needs no network, no script and no other file. */
export function page(data: ReportData): string {
  const { plan, arms } = data
  const rounds = arms.filter((arm) => /^\d+x\d+$/.test(arm.name)).map((arm) => arm.name)
  const title = rounds.length > 0 ? `Federated fine-tuning: ${rounds.join(' beside ')}` : 'Federated fine-tuning'
  const clients = clientsOf(arms)
  const facts = [
    `base ${shorten(plan.base.id, 17)}`,
    `${formatCount(clients.length || plan.clients.length)} clients`,
    `LoRA on ${formatCount(plan.layers.length)} layers`,
    `seed ${plan.train.seed}`,
    ...(data.time === undefined ? [] : [data.time.slice(0, 10)]),
  ]
  const colours = coloursOf(arms)
  const body =
    arms.length === 0
      ? ['<p class="lede">No arm of this run is finished yet. The curves below show how far it came.</p>']
      : [
          `<p class="lede">${escapeHtml(reading(arms).replaceAll(' %', '\u00a0%'))}</p>`,
          strip(arms, colours),
          armTable(arms),
          clientTable(arms),
        ]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p class="soft">${escapeHtml(facts.join(' · '))}</p>
${body.join('\n')}
${curves(data, colours)}
<h2>What the numbers mean</h2>
<ul class="notes">${notesOf(plan, arms)
    .map((note) => `<li>${escapeHtml(note)}</li>`)
    .join('')}</ul>
${settings(data)}
${definitions('Environment', Object.entries(data.environment))}
</main>
</body>
</html>
`
}

/** The colour of each column title, the same in all figures: base is grey, the rest in order of appearance. */
function coloursOf(arms: readonly Arm[]): Map<string, number> {
  const colours = new Map<string, number>([['base', 0]])
  const fixed: Record<string, number> = { alone: 1, '1x3': 2, '3x1': 3, pooled: 4 }
  for (const { title } of columnsOf(arms)) {
    if (!colours.has(title)) colours.set(title, fixed[title] ?? 5 + (colours.size % 3))
  }
  return colours
}

function strip(arms: readonly Arm[], colours: Map<string, number>): string {
  const rows = columnsOf(arms).map((column) => ({
    name: column.title,
    colour: colours.get(column.title) ?? 0,
    overall: column.overall.loss,
    clients: [...column.perClient].map(([name, score]) => ({ name, loss: score.loss })),
  }))
  const chart = stripChart({ title: `Held-out loss of ${rows.map((row) => row.name).join(', ')}`, rows })
  return `<h2>Held-out loss</h2><figure><div class="wide">${chart}</div><figcaption>Nats a token, lower is better. The dot is all clients' held-out text, each tick one client's; alone is each client's own adapter on its own text.</figcaption></figure>`
}

function armTable(arms: readonly Arm[]): string {
  const head = ['arm', 'held-out loss', 'perplexity', 'base → pooled', 'bytes up', 'bytes down', 'time']
  const rows = rowsOf(arms).map((row) => {
    const share = shareOfWay(arms, row.loss)
    return [
      row.title,
      formatLoss(row.loss),
      formatPerplexity(row.perplexity),
      share === undefined ? '–' : `${Math.round(share * 100)} %`,
      formatBytes(row.bytesUp),
      formatBytes(row.bytesDown),
      formatSeconds(row.seconds),
    ]
  })
  return `<h2>Arms</h2>${table("Every arm on all clients' held-out text", head, rows)}`
}

function clientTable(arms: readonly Arm[]): string {
  const columns = columnsOf(arms)
  const clients = clientsOf(arms)
  if (clients.length === 0) return ''
  const cell = (score: { loss: number; perplexity: number } | undefined) =>
    score === undefined ? '–' : { main: formatLoss(score.loss), side: formatPerplexity(score.perplexity) }
  const rows = clients.map((client) => [client, ...columns.map((column) => cell(column.perClient.get(client)))])
  rows.push(['all', ...columns.map((column) => cell(column.overall))])
  const head = ['client', ...columns.map((column) => column.title)]
  return `<h2>Clients</h2>${table("Loss and, smaller, perplexity on each client's held-out part", head, rows, true)}`
}

type Cell = string | { main: string; side: string }

function table(caption: string, head: readonly string[], rows: readonly (readonly Cell[])[], total = false): string {
  const cells = (row: readonly Cell[]) =>
    row.map((cell, at) => {
      if (at === 0) return `<th scope="row">${escapeHtml(String(cell))}</th>`
      if (typeof cell === 'string') return `<td>${escapeHtml(cell)}</td>`
      return `<td>${escapeHtml(cell.main)}<small>${escapeHtml(cell.side)}</small></td>`
    })
  const body = rows.map(
    (row, at) => `<tr${total && at === rows.length - 1 ? ' class="all"' : ''}>${cells(row).join('')}</tr>`,
  )
  const heading = head.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('')
  return `<div class="wide"><table><caption>${escapeHtml(caption)}</caption><thead><tr>${heading}</tr></thead><tbody>${body.join('')}</tbody></table></div>`
}

function curves(data: ReportData, colours: Map<string, number>): string {
  const drawn = data.curves.filter((curve) => curve.points.length > 0)
  if (drawn.length === 0) return ''
  const panels = new Map<string, Curve[]>()
  for (const curve of drawn) {
    const name = curve.client ?? 'pooled'
    panels.set(name, [...(panels.get(name) ?? []), curve])
  }
  const steps = (some: readonly Curve[]) => domainOf(some.flatMap((curve) => curve.points.map((p) => p.x)))
  const x = steps(drawn.filter((curve) => curve.client !== undefined))
  const y = domainOf(drawn.flatMap((curve) => curve.points.map((p) => p.y)))
  const colourOf = (arm: string) => colours.get(arm === 'client' ? 'alone' : arm) ?? 7
  const names = [...new Set(drawn.map((curve) => curve.arm))]
  const legend = names.map((name) => `<li><i class="s${colourOf(name)}"></i>${escapeHtml(name)}</li>`).join('')
  // Pooled training has its own length, so it keeps its own horizontal axis.
  const charts = [...panels].map(([name, some]) => {
    const own = some.some((curve) => curve.client === undefined) ? steps(some) : x
    const chart = lineChart({
      title: `Training loss of ${name}`,
      series: some.map((curve) => ({ name: curve.arm, colour: colourOf(curve.arm), points: curve.points })),
      x: own,
      y,
    })
    return `<figure><h3>${escapeHtml(name)}</h3>${chart}</figure>`
  })
  return `<h2>Training loss</h2><p class="soft">Mean loss of each optimizer step, by steps over the whole horizon. The vertical axis is the same everywhere.</p><ul class="legend">${legend}</ul><div class="panels">${charts.join('')}</div>`
}

function settings(data: ReportData): string {
  const { plan } = data
  const { train, aggregate } = plan
  const lora = train.trainable
  const rows: [string, unknown][] = [
    ['plan', data.planSha256],
    ['base', `${plan.base.id}, weights ${plan.base.sha256.slice(0, 16)}…`],
    [
      'trains',
      lora.kind === 'lora'
        ? `LoRA rank ${lora.rank}, alpha ${lora.alpha}, ${Array.isArray(lora.targets) ? lora.targets.join(', ') : lora.targets}`
        : `every tensor (${lora.tensors.length})`,
    ],
    ['steps', `${train.batch * train.accumulate} examples each, ${train.optimizer}`],
    ['learning rate', `${train.learningRate}, ${train.schedule}, warm-up ${train.warmup}`],
    [
      'data',
      `template ${plan.data.template}, cut at ${plan.data.cutoff} tokens, loss on ${plan.data.lossOn}, ${plan.data.heldOut} held out`,
    ],
    [
      'aggregate',
      `${aggregate.method}, rank ${aggregate.rank}, weights ${typeof aggregate.weights === 'string' ? `by ${aggregate.weights}` : 'as given'}`,
    ],
    ...data.closings.map((closing): [string, unknown] => [`adapter of ${closing.arm}`, describeClosing(closing)]),
    ['shared', [lora.kind === 'lora' ? 'factors' : 'changes of all tensors', ...plan.share].join(', ')],
  ]
  return `${definitions('Settings', rows)}<details><summary>The whole plan</summary><pre>${JSON.stringify(plan, undefined, 2).split('\n').map(escapeHtml).join('\n')}</pre></details>`
}

/** `svd, rank 12 to 31, relative error 8.1e-4` */
export function describeClosing({ method, ranks, relativeError }: Closing): string {
  if (ranks.length === 0) return `${method}, dense deltas, relative error ${relativeError.toExponential(1)}`
  const least = Math.min(...ranks)
  const most = Math.max(...ranks)
  return `${method}, rank ${least === most ? most : `${least} to ${most}`}, relative error ${relativeError.toExponential(1)}`
}

function definitions(title: string, rows: readonly (readonly [string, unknown])[]): string {
  if (rows.length === 0) return ''
  const list = rows.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(valueText(name, value))}</dd>`)
  return `<h2>${escapeHtml(title)}</h2><dl>${list.join('')}</dl>`
}

function valueText(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map(String).join(', ')
  if (name === 'memory' && typeof value === 'number') return formatBytes(value)
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)
}
