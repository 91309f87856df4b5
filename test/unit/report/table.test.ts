import { describe, expect, it } from 'vitest'
import { reading } from '../../../src/report/reading.js'
import { columnsOf, shareOfWay } from '../../../src/report/summary.js'
import { armsTable, paragraph, textTable } from '../../../src/report/table.js'
import { someArms } from './arms.js'

const presidents = [
  'Barack-Obama',
  'Dwight-D-Eisenhower',
  'George-HW-Bush',
  'George-W-Bush',
  'Gerald-R-Ford',
  'Harry-S-Truman',
  'Jimmy-Carter',
  'Lyndon-B-Johnson',
  'Richard-Nixon',
  'William-J-Clinton',
]

describe('the text table', () => {
  it('fits ten clients and five arms into 100 columns and one block', () => {
    const lines = armsTable(someArms(presidents)).split('\n')
    expect(Math.max(...lines.map((line) => [...line].length))).toBeLessThanOrEqual(100)
    expect(lines.filter((line) => line.startsWith('client  ')).length).toBe(1)
    for (const name of presidents) expect(lines.some((line) => line.startsWith(name))).toBe(true)
  })

  it('puts arms that do not fit into a further block instead of a wider line', () => {
    const arms = someArms(['a', 'b'])
    const more = ['2x2', '4x1', '1x4', '5x1', '1x5', '6x1'].map(
      (name) => ({ ...arms[3], name }) as (typeof arms)[number],
    )
    const text = armsTable([...arms, ...more], 80)
    expect(Math.max(...text.split('\n').map((line) => [...line].length))).toBeLessThanOrEqual(80)
    expect(text).toContain('further arms')
    for (const name of ['2x2', '6x1', 'pooled']) expect(text).toContain(name)
  })

  it('tells many lone clients as one mean and keeps few apart', () => {
    expect(armsTable(someArms(Array.from({ length: 13 }, (_, i) => `c${i}`)))).toContain('client (mean of 13)')
    expect(armsTable(someArms(['a', 'b']))).toMatch(/^client b/m)
  })

  it('aligns numbers to the right and names to the left', () => {
    expect(
      textTable(
        ['name', 'n'],
        [
          ['a', '1'],
          ['long name', '200'],
        ],
      ),
    ).toBe('name         n\n──────────────\na            1\nlong name  200')
  })

  it('breaks a sentence at spaces only', () => {
    expect(paragraph('aa bb cc dddddddd e', 5)).toBe('aa bb\ncc\ndddddddd\ne')
  })

  it('shows control characters of a name instead of sending them', () => {
    const text = armsTable(someArms(['evil\u001b[2J\rname', 'b']))
    for (const control of ['\u001b', '\r']) expect(text).not.toContain(control)
    expect(text).toContain('\\u{1b}')
  })
})

describe('the summary', () => {
  it('judges a lone client on its own text, weighted by tokens overall', () => {
    const arms = someArms(['a', 'b'])
    const [first] = arms.filter((arm) => arm.client === 'a')
    if (first?.perClient.a) first.perClient.a.tokens = 3000
    const alone = columnsOf(arms).find((column) => column.title === 'alone')
    expect(alone?.perClient.get('a')?.loss).toBeCloseTo(3.8, 12)
    expect(alone?.perClient.get('b')?.loss).toBeCloseTo(3.9, 12)
    expect(alone?.overall.loss).toBeCloseTo((3000 * 3.8 + 1000 * 3.9) / 4000, 12)
  })

  it('measures the way from base to pooled', () => {
    expect(shareOfWay(someArms(['a']), 3.2)).toBeCloseTo(0.8, 12)
    expect(
      shareOfWay(
        someArms(['a']).filter((arm) => arm.name !== 'pooled'),
        3.2,
      ),
    ).toBeUndefined()
  })
})

describe('the sentence', () => {
  it('says how far each arm goes and what it cost', () => {
    const text = reading(someArms(['a', 'b']))
    expect(text).toContain('1x3 goes 80 % and 3x1 goes 90 %')
    expect(text).toContain('1.5 MB uploaded against 4.5 MB')
    expect(text).toContain('one seed')
  })

  it('claims no shares where pooling did not beat the base', () => {
    const arms = someArms(['a'])
    for (const arm of arms) if (arm.name === 'pooled') arm.overall.loss = 4.5
    expect(reading(arms)).toContain('did not beat the base')
    expect(reading(arms)).not.toContain('%')
  })

  it('tells losses alone where there is no base to hold them against', () => {
    const text = reading(someArms(['a']).filter((arm) => arm.name !== 'base'))
    expect(text).toContain('1x3 3.200 and 3x1 3.100')
    expect(text).toContain('without the arm base')
  })

  it('says nothing about rounds where there are none', () => {
    expect(reading(someArms(['a']).filter((arm) => arm.name === 'pooled'))).toContain('no arm of rounds')
  })
})
