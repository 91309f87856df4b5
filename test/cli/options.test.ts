import { describe, expect, it } from 'vitest'
import { autoOrCount, choice, count, list, listOf, number, pairs, weights, whole } from '../../src/cli/options.js'

describe('parsers of single flags', () => {
  it('take what they should', () => {
    expect(count('12')).toBe(12)
    expect(whole('0')).toBe(0)
    expect(number('3e-4')).toBe(3e-4)
    expect(list('a, b,c')).toEqual(['a', 'b', 'c'])
    expect(pairs('q_proj=16,v_proj=8')).toEqual({ q_proj: 16, v_proj: 8 })
    expect(weights('tokens')).toBe('tokens')
    expect(weights('a=0.25,b=0.75')).toEqual({ a: 0.25, b: 0.75 })
    expect(autoOrCount('auto')).toBe('auto')
    expect(autoOrCount('8')).toBe(8)
    expect(choice('x', 'y')('y')).toBe('y')
    expect(listOf('x', 'y')('y,x')).toEqual(['y', 'x'])
  })

  const refused: [string, (text: string) => unknown, string[]][] = [
    ['count', count, ['0', '-1', '1.5', '', ' ', 'x', '1e3', '99999999999999999999']],
    ['whole', whole, ['-1', '', '0x10', '1_000']],
    ['number', number, ['', ' ', 'x', 'NaN', 'Infinity', '1,5']],
    ['list', list, ['', 'a,,b', 'a,', 'a,b,a']],
    ['pairs', pairs, ['a', '=1', 'a=', 'a=x']],
    ['weights', weights, ['evenly', 'a=x', '']],
    ['autoOrCount', autoOrCount, ['Auto', '0', '-3']],
    ['choice', choice('x'), ['X', '', 'toString']],
    ['listOf', listOf('x', 'y'), ['x,z', '']],
  ]
  for (const [name, parse, texts] of refused) {
    it(`refuse what is not for ${name}`, () => {
      for (const text of texts) expect(() => parse(text), JSON.stringify(text)).toThrow(/It must|stands in it twice/)
    })
  }
})
