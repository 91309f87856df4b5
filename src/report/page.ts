import { type Arm, shapeOf } from '../federation/arms.js'
import type { ReportData } from './data.js'
import { escapeHtml, shorten } from './escape.js'
import { curvePanels } from './figures/curves.js'
import { list, paragraph, section } from './html.js'
import { notesOf } from './notes.js'
import { formatCount } from './numbers.js'
import { armsSection, clientsSection } from './sections/arms.js'
import { diagnosisSection } from './sections/diagnosis.js'
import { environmentSection, settingsSection } from './sections/settings.js'
import { valuationSection } from './sections/valuation.js'
import { verdictSection } from './sections/verdict.js'
import { style } from './style.js'
import { clientsOf, columnsOf } from './summary.js'

/** The whole report as one HTML page that needs no network, no script and no other file. The verdict comes first. */
export function page(data: ReportData): string {
  const { plan, arms, diagnosis } = data
  const rounds = arms.filter((arm) => shapeOf(arm.name)).map((arm) => arm.name)
  const title = rounds.length > 0 ? `Federated fine-tuning: ${rounds.join(' beside ')}` : 'Federated fine-tuning'
  const facts = [
    `base ${shorten(plan.base.id, 17)}`,
    `${formatCount(clientsOf(arms).length || plan.clients.length)} clients`,
    `seed ${plan.train.seed}`,
    ...(data.time === undefined ? [] : [data.time.slice(0, 10)]),
  ]
  const colours = coloursOf(arms)
  const colourOf = (arm: string) => colours.get(arm === 'client' ? 'alone' : arm) ?? 7
  const panels = curvePanels(data.curves, colourOf)
  const sections = [
    diagnosis === undefined ? '' : verdictSection(diagnosis),
    armsSection(arms, colours),
    diagnosis === undefined ? '' : diagnosisSection(diagnosis),
    clientsSection(arms),
    data.valued === undefined ? '' : valuationSection(data.valued),
    panels === ''
      ? ''
      : section('Training loss', [
          paragraph(
            'Mean loss of each optimizer step, by steps over the whole horizon. The vertical axis is the same everywhere. Long trainings are drawn as means of neighbouring steps; every step stands in metrics.jsonl.',
            'soft',
          ),
          panels,
        ]),
    section('What the numbers mean', [list(notesOf(plan, arms))]),
    settingsSection(data),
    environmentSection(data.environment),
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
${sections.filter((part) => part !== '').join('\n')}
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
