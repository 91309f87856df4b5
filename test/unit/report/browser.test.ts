/** The page in a real browser: Debian's Chromium, or the one that CHROMIUM names. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { page } from '../../../src/report/page.js'
import { someArms } from './arms.js'
import { someDiagnosis } from './diagnosis.js'
import { somePlan } from './plan.js'
import { someValuation } from './valuation.js'

const program = process.env.CHROMIUM ?? '/usr/bin/chromium'
const folder = mkdtempSync(join(tmpdir(), 'oneround-report-'))
const clients = ['north', 'a-client-with-a-rather-long-name-of-its-own', 'east']
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

let browser: Browser
describe.skipIf(!existsSync(program))('the report in a browser', () => {
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox'] })
    const points = Array.from({ length: 12 }, (_, x) => ({ x, y: 4 - x / 40 }))
    const curves = clients.flatMap((client) => ['1x3', '3x1'].map((arm) => ({ arm, client, points })))
    const html = page({
      plan: somePlan(clients),
      planSha256: 'c'.repeat(64),
      arms: someArms(clients),
      curves: [...curves, { arm: 'pooled', points }],
      closings: [],
      diagnosis: someDiagnosis(clients),
      valued: { arm: '1x3', valuation: someValuation(somePlan(clients), clients) },
      environment: { isa: 'avx2', cpu: 'a processor with a long name '.repeat(4) },
    })
    writeFileSync(join(folder, 'report.html'), html)
  }, 60_000)
  afterAll(async () => {
    await browser?.close()
    rmSync(folder, { recursive: true })
  })

  async function open(width: number, colorScheme: 'light' | 'dark'): Promise<Page> {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, bypassCSP: true })
    const opened = await context.newPage()
    await opened.goto(pathToFileURL(join(folder, 'report.html')).href)
    return opened
  }

  it.each([
    [390, 'light'],
    [1440, 'dark'],
  ] as const)(
    'fits %i px wide, and axe finds nothing (%s)',
    async (width, scheme) => {
      const opened = await open(width, scheme)
      for (const summary of await opened.locator('summary').all()) {
        if (!(await summary.evaluate('(of) => of.parentElement.open'))) await summary.click()
      }
      const overflow = await opened.evaluate(
        'document.documentElement.scrollWidth - document.documentElement.clientWidth',
      )
      expect(overflow).toBe(0)
      const cut = await opened.evaluate(`[...document.querySelectorAll('svg')].filter((svg) => {
      const box = svg.getBoundingClientRect()
      return box.right > document.documentElement.clientWidth || box.width < 100 || box.height < 40
    }).length`)
      expect(cut).toBe(0)
      await opened.addScriptTag({ path: axe })
      const { violations } = (await opened.evaluate('axe.run()')) as { violations: { id: string; nodes: unknown[] }[] }
      expect(violations.map(({ id, nodes }) => `${id}: ${JSON.stringify(nodes).slice(0, 300)}`)).toEqual([])
      await opened.context().close()
    },
    60_000,
  )

  it('opens the numbers of a figure by keyboard alone', async () => {
    const opened = await open(1440, 'light')
    const isOpen = () => opened.evaluate("document.activeElement?.closest('details')?.open ?? false")
    for (let presses = 0; presses < 10; presses++) {
      await opened.keyboard.press('Tab')
      if ((await opened.evaluate('document.activeElement?.tagName')) === 'SUMMARY') break
    }
    expect(await isOpen()).toBe(false)
    await opened.keyboard.press('Enter')
    expect(await isOpen()).toBe(true)
    await opened.context().close()
  }, 60_000)

  it('asks the network for nothing', async () => {
    const context = await browser.newContext()
    const opened = await context.newPage()
    const asked: string[] = []
    opened.on('request', (request) => asked.push(request.url()))
    await opened.goto(pathToFileURL(join(folder, 'report.html')).href)
    expect(asked).toHaveLength(1)
    await context.close()
  }, 60_000)
})
