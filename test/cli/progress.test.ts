import { describe, expect, it } from 'vitest'
import { type ProgressSink, ProgressView } from '../../src/cli/progress.js'

const ESC = '\u001b'
const controls = new RegExp(`(${ESC}\\[\\d*[AJ]|\\r|\\n)`)
const upwards = new RegExp(`^${ESC}\\[(\\d+)A$`)

/** A terminal of a few lines: keeps what a person would see. */
class Screen implements ProgressSink {
  live = true
  time = 0
  raw = ''
  lines: string[] = ['']
  #row = 0

  write(text: string): void {
    this.raw += text
    for (const part of text.split(controls)) {
      const up = upwards.exec(part)
      if (up) this.#row = Math.max(0, this.#row - Number(up[1]))
      else if (part === '\u001b[J') this.lines.splice(this.#row, Number.POSITIVE_INFINITY, '')
      else if (part === '\n') {
        this.#row += 1
        this.lines[this.#row] ??= ''
      } else if (part !== '\r') this.lines[this.#row] = (this.lines[this.#row] ?? '') + part
    }
  }
  columns = () => 80
  rows = () => 10
  now = () => this.time
}

const at = (client: string, done: number, more: object = {}) => ({
  phase: 'train',
  client,
  round: 1,
  done,
  total: 40,
  secondsLeft: 8.4,
  loss: 3.123,
  ...more,
})

describe('live progress', () => {
  it('rewrites one block with a line a running job', () => {
    const screen = new Screen()
    const view = new ProgressView(screen)
    view.update(at('a', 1))
    screen.time = 200
    view.update(at('b', 20))
    screen.time = 400
    view.update(at('a', 10))
    expect(screen.lines.filter((line) => line.includes('train a')).length).toBe(1)
    expect(screen.lines[0]).toContain('10/40  loss 3.123  8.4 s left')
    expect(screen.lines[1]).toContain('train b round 1')
    screen.time = 600
    view.update(at('a', 40))
    expect(screen.lines.some((line) => line.includes('train a'))).toBe(false)
    view.close()
    expect(screen.lines.join('')).toBe('')
  })

  it('draws at most ten times a second', () => {
    const screen = new Screen()
    const view = new ProgressView(screen)
    for (let i = 0; i < 1000; i++) {
      screen.time = i
      view.update(at('a', i % 39))
    }
    expect(screen.raw.split('so far').length - 1).toBeLessThanOrEqual(11)
  })

  it('keeps to the window: no line is wider, no block higher', () => {
    const screen = new Screen()
    const view = new ProgressView(screen)
    for (let i = 0; i < 30; i++) {
      screen.time += 200
      view.update(at(`client-${i}-${'x'.repeat(100)}`, 1))
    }
    expect(screen.lines.length).toBeLessThanOrEqual(10)
    expect(Math.max(...screen.lines.map((line) => [...line].length))).toBeLessThan(80)
    expect(screen.lines.join('\n')).toMatch(/and \d+ more/)
  })

  it('leaves notes standing above the block', () => {
    const screen = new Screen()
    const view = new ProgressView(screen)
    view.update(at('a', 1))
    view.note('first\nsecond')
    screen.time = 200
    view.update(at('a', 2))
    expect(screen.lines.slice(0, 3)).toEqual(['first', 'second', expect.stringContaining('train a')])
  })

  it('shows control characters of a client name instead of sending them', () => {
    const screen = new Screen()
    const view = new ProgressView(screen)
    view.update(at('a\u001b[31m', 1))
    expect(screen.raw).not.toContain('\u001b[31m')
  })
})

describe('progress where nothing can be rewritten', () => {
  it('is a plain line every three seconds', () => {
    const screen = new Screen()
    screen.live = false
    const view = new ProgressView(screen)
    for (let i = 0; i < 100; i++) {
      screen.time = i * 100
      view.update(at('a', i % 39, { secondsLeft: Number.NaN }))
    }
    view.close()
    expect(screen.raw).not.toContain('\u001b')
    expect(screen.raw.trimEnd().split('\n')).toEqual(
      [0, 30, 21, 12].map((done) => `train a round 1: ${done}/40 loss 3.123`),
    )
  })
})
