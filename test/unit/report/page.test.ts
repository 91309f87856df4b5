import { describe, expect, it } from 'vitest'
import type { ReportData } from '../../../src/report/data.js'
import type { Curve } from '../../../src/report/figures/curves.js'
import { page } from '../../../src/report/page.js'
import { someArms } from './arms.js'
import { someDiagnosis } from './diagnosis.js'
import { somePlan } from './plan.js'
import { someValuation } from './valuation.js'

const hostile = '"><script>alert(1)</script>'

function data(clients: readonly string[], more: Partial<ReportData> = {}): ReportData {
  const curves: Curve[] = clients.flatMap((client) =>
    ['1x3', '3x1'].map((arm) => ({ arm, client, points: [0, 1, 2].map((x) => ({ x, y: 4 - x / 10 })) })),
  )
  return {
    plan: somePlan(clients),
    planSha256: 'c'.repeat(64),
    arms: someArms(clients),
    curves: [
      ...curves,
      {
        arm: 'pooled',
        points: [
          { x: 0, y: 4 },
          { x: 9, y: 3 },
        ],
      },
    ],
    closings: [{ arm: '1x3', method: 'svd', ranks: [2, 4], relativeError: 8.1e-4 }],
    environment: { oneround: '0.1.0', isa: 'avx2', memory: 8e9 },
    ...more,
  }
}

describe('the report page', () => {
  it('asks for nothing outside itself', () => {
    const html = page(data(['a', 'b']))
    expect(html).not.toMatch(/<(script|link|img|iframe)\b|\bsrc=|\bhref=|@import|url\(/i)
    expect(html).toContain("default-src 'none'")
  })

  it('escapes names, settings and environment that try to be markup', () => {
    const bad = data([hostile, 'b'], { environment: { cpu: hostile, [hostile]: 1 } })
    const html = page({ ...bad, plan: { ...bad.plan, base: { ...bad.plan.base, id: hostile } } })
    expect(html).not.toContain('<script')
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
    // nothing left the attribute or the text it was put in: every tag is one of ours
    const tags = new Set([...html.matchAll(/<\/?([a-z0-9]+)/g)].map((match) => match[1]))
    const ours =
      'html head meta title style body main section h1 h2 h3 h4 p figure figcaption svg g line text tspan circle path rect div table caption thead tbody tr th td small ul li i dl dt dd details summary pre'
    expect([...tags].filter((tag) => !ours.split(' ').includes(String(tag)))).toEqual([])
  })

  it('has a row header for every arm and client, and column headers', () => {
    const html = page(data(['north', 'south']))
    for (const name of ['base', 'client north', '1x3', '3x1', 'pooled', 'north', 'south', 'all'])
      expect(html).toContain(`<th scope="row">${name}</th>`)
    expect(html.match(/<caption>(?!Data)/g)?.length).toBe(2)
    expect(html).toContain('<th scope="col">perplexity</th>')
  })

  it('has one panel of curves a client and one for pooled training', () => {
    expect(page(data(['a', 'b', 'c'])).match(/aria-label="Training loss of/g)?.length).toBe(4)
  })

  it('says rank and error of each adapter', () => {
    expect(page(data(['a']))).toContain('svd, rank 2 to 4, relative error 8.1e-4')
  })

  it('says which start the rounds had, and that it is one seed', () => {
    const html = page(data(['a', 'b']))
    expect(html).toContain('start carried')
    expect(html).toContain('This is one seed')
    const without = page(data(['a', 'b'], { arms: someArms(['a', 'b']).filter((arm) => arm.name !== '3x1') }))
    expect(without).not.toContain('start carried')
  })

  it('is a page, not a failure, while no arm is finished', () => {
    const html = page(data(['a'], { arms: [], curves: [] }))
    expect(html).toContain('No arm of this run is finished yet')
    expect(html).not.toContain('undefined')
  })

  it('puts the verdict first and draws what was measured', () => {
    const clients = ['a', 'b', 'c']
    const valued = { arm: '1x3', valuation: someValuation(somePlan(clients), clients) }
    const html = page(data(clients, { diagnosis: someDiagnosis(clients), valued }))
    expect(html.indexOf('Not enough evidence')).toBeLessThan(html.indexOf('<h2>Arms</h2>'))
    expect(html).toContain('Enough would be: seven seeds')
    const drawn = [...html.matchAll(/<figure><h3>([^<]*)</g)].map((match) => match[1])
    expect(drawn).toEqual([
      'Held-out loss of each arm',
      'Loss against bytes',
      '1x3 against 3x1',
      'Loss along lambda',
      'Lambda by layer',
      'From 1x3 to 3x1',
      'Bound against measured',
      'Smoothness L',
      'Travel tau over training',
      'Travel tau by layer',
      'Smoothness L by layer',
      'Map of clients',
      'Time of a federation',
      'Value of each client',
      // and a panel of training curves for each client
      ...['a', 'b', 'c', 'pooled'],
    ])
    // every plot has a text alternative, and every figure its numbers
    expect(html.match(/<svg/g)?.length).toBe(html.match(/<svg[^>]*role="img"/g)?.length)
    expect(html.match(/<summary>Data: /g)?.length).toBe(drawn.length)
    // what it costs stands open
    expect(html.match(/<details open>/g)?.length).toBe(1)
    expect(html).toMatch(/<details open><summary>Data: Time of a federation</)
  })

  it('writes what carries the verdict as words, bytes and counts', () => {
    const diagnosis = someDiagnosis(['a', 'b'])
    diagnosis.verdict.numbers = [
      { name: 'low', value: 0.00123456 },
      { name: 'seeds', value: 3 },
      { name: 'bytesSaved', value: 25_570 },
      { name: 'gain', value: Number.NaN },
    ]
    const html = page(data(['a', 'b'], { diagnosis }))
    for (const [name, value] of [
      ['interval from', '0.001235'],
      ['seeds', '3'],
      ['bytes saved', '25.6 kB'],
      ['gain', 'unknown'],
    ])
      expect(html).toContain(`<dt>${name}</dt><dd>${value}</dd>`)
  })

  it('says by name what the evidence cannot know, and draws nothing of it', () => {
    const whole = someDiagnosis(['a', 'b', 'c'])
    const html = page(data(['a', 'b', 'c'], { diagnosis: { ...whole, lambda: { unknown: 'no losses were shared' } } }))
    expect(html).toContain('<dt>lambda</dt><dd>no losses were shared</dd>')
    expect(html).not.toContain('<h3>Loss along lambda</h3>')
  })

  it('tells values of clients with their intervals, the best first, and whom the rules point at', () => {
    const clients = ['worst-last', 'b', 'c']
    const valuation = someValuation(somePlan(clients), clients)
    const html = page(data(clients, { valued: { arm: '1x3', valuation } }))
    expect(html).toMatch(/aria-label="Value of each client[^"]*worst-last 6.00, b 2.00, c -2.00"/)
    expect(html).toContain('<th scope="row">b</th><td>0.333</td><td>2.00</td><td>1.00 to 3.00</td><td>1.00</td>')
    expect(html).toContain('harms: c raises the held-out loss.')
    expect(html).toContain('lambda 1.250: loss 3.950 to 3.900 on the other half')
    expect(page(data(clients))).not.toContain('Values of the clients')
  })

  it('draws the best and the worst of many clients, and has all in the data', () => {
    const clients = Array.from({ length: 60 }, (_, at) => `client-${at}`)
    const html = page(data(clients, { valued: { arm: '1x3', valuation: someValuation(somePlan(clients), clients) } }))
    const [, label] = /aria-label="(Value of each client[^"]*)"/.exec(html) ?? []
    expect(label?.match(/client-/g)).toHaveLength(24)
    expect(html).toContain('The best and worst 12 of 60 clients')
    const section = html.slice(html.indexOf('Data: Value of each client'))
    expect(section.slice(0, section.indexOf('</table>')).match(/<tr>/g)).toHaveLength(61)
  })

  it('gives each drawn loss of a training, a row a step and a column an arm', () => {
    const html = page(data(['a', 'b']))
    const table = html.slice(html.indexOf('<caption>Data: training loss of a<'))
    expect(table.slice(0, table.indexOf('</table>'))).toContain(
      '<th scope="row">2</th><td>3.800</td><td>3.800</td></tr></tbody>',
    )
  })

  it('stays small however many clients train however long', () => {
    const points = Array.from({ length: 3000 }, (_, x) => ({ x, y: 4 - x / 4000 }))
    const curves = Array.from({ length: 200 }, (_, at) => ({ arm: '1x3', client: `c${at}`, points }))
    expect(page(data(['a'], { curves })).length).toBeLessThan(3e6)
  })

  it('gives the same page for the same run', () => {
    expect(page(data(['a', 'b']))).toBe(page(data(['a', 'b'])))
  })
})
