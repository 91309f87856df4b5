import { describe, expect, it } from 'vitest'
import { domainOf, lineChart, stripChart, ticks } from '../../../src/report/chart.js'

describe('charts', () => {
  it('places round ticks inside the domain', () => {
    expect(ticks({ min: 2.9, max: 4.1 }, 4)).toEqual([3, 3.5, 4])
    expect(ticks({ min: 0, max: 0.031 }, 4)).toEqual([0, 0.01, 0.02, 0.03])
    expect(ticks({ min: 1, max: 1 }, 4)).toEqual([1])
  })

  it('takes domains from finite values only', () => {
    expect(domainOf([Number.NaN, 1, 3, Number.POSITIVE_INFINITY])).toEqual({ min: 0.9, max: 3.1 })
    expect(domainOf([])).toEqual({ min: 0, max: 1 })
    expect(domainOf([2])).toEqual({ min: 1.5, max: 2.5 })
  })

  it('draws lower values lower on the page', () => {
    const points = [
      { x: 0, y: 2 },
      { x: 1, y: 1 },
    ]
    const svg = lineChart({
      title: 't',
      series: [{ name: 's', colour: 1, points }],
      x: { min: 0, max: 1 },
      y: { min: 1, max: 2 },
    })
    const path = / d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"/.exec(svg)?.slice(1).map(Number) ?? []
    const [startX = 0, startY = 0, endX = 0, endY = 0] = path
    expect(endX).toBeGreaterThan(startX)
    expect(endY).toBeGreaterThan(startY)
  })

  it('leaves points that are not finite out and escapes names', () => {
    const svg = lineChart({
      title: '"><b>',
      series: [
        {
          name: '<i>',
          colour: 2,
          points: [
            { x: 0, y: Number.NaN },
            { x: 1, y: 1 },
            { x: 2, y: 1 },
          ],
        },
      ],
      x: { min: 0, max: 2 },
      y: { min: 0, max: 2 },
    })
    expect(svg).not.toMatch(/NaN|<b>|<i>/)
  })

  it('thins a long run and keeps its range', () => {
    const points = Array.from({ length: 10_000 }, (_, x) => ({ x, y: 1 }))
    const svg = lineChart({
      title: 't',
      series: [{ name: 's', colour: 1, points }],
      x: { min: 0, max: 9999 },
      y: { min: 0, max: 2 },
    })
    expect(svg.split('L').length).toBeLessThan(300)
  })

  it('marks every arm and client of a strip', () => {
    const svg = stripChart({
      title: 't',
      rows: [
        {
          name: 'base',
          colour: 0,
          overall: 3,
          clients: [
            { name: 'a', loss: 2.9 },
            { name: 'b', loss: Number.NaN },
          ],
        },
      ],
    })
    expect(svg.match(/<circle/g)?.length).toBe(1)
    expect(svg).toContain('a: 2.900')
    expect(svg).not.toContain('NaN')
  })
})
