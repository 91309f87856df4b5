import { expect, it } from 'vitest'
import { escapeHtml, printable, shorten } from '../../../src/report/escape.js'
import { formatBytes, formatCount, formatLoss, formatPerplexity, formatSeconds } from '../../../src/report/numbers.js'

it('writes bytes in decimal units', () => {
  expect([0, 12, 999, 1000, 1_234_567, 15_800_000, 999_960, 2.5e12].map(formatBytes)).toEqual([
    '0',
    '12 B',
    '999 B',
    '1.0 kB',
    '1.2 MB',
    '15.8 MB',
    '1.0 MB',
    '2.5 TB',
  ])
})

it('writes seconds as people say them', () => {
  expect([0.04, 8.44, 59.96, 125, 3599.6, 4205].map(formatSeconds)).toEqual([
    '0.0 s',
    '8.4 s',
    '1 min 00 s',
    '2 min 05 s',
    '1 h 00 min',
    '1 h 10 min',
  ])
  expect(formatSeconds(Number.NaN)).toBe('–')
})

it('writes losses, perplexities and counts', () => {
  expect([formatLoss(3.1234), formatLoss(Number.NaN)]).toEqual(['3.123', 'not finite'])
  expect([12.345, 1234.5, 2.2e7, Number.POSITIVE_INFINITY].map(formatPerplexity)).toEqual([
    '12.35',
    '1235',
    '2.2e+7',
    'not finite',
  ])
  expect([5, 1234, 1234567].map(formatCount)).toEqual(['5', '1,234', '1,234,567'])
})

it('makes hostile text harmless', () => {
  expect(escapeHtml(`<script>alert("a'&b")</script>`)).toBe(
    '&lt;script&gt;alert(&quot;a&#39;&amp;b&quot;)&lt;/script&gt;',
  )
  expect(printable('a\u001b[31m\u202eb\n')).toBe('a\\u{1b}[31m\\u{202e}b\\u{a}')
  expect(shorten('abcdef', 4)).toBe('abc…')
  expect([...shorten('😀😀😀😀', 3)].length).toBe(3)
})
