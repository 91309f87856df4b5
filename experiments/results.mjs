// npm run results: docs/results.md from experiments/results/*.json, docs/calibration.md from the shipped rules. Nothing in
// them is typed by hand.
import { writeFileSync } from 'node:fs'
import { calibrationPage } from './calibration-page.mjs'
import { resultsPage } from './results-page.mjs'

for (const [name, page] of Object.entries({ results: resultsPage(), calibration: calibrationPage() })) {
  writeFileSync(new URL(`../docs/${name}.md`, import.meta.url), `${page}\n`)
  console.log(`docs/${name}.md`)
}
