import { describe, expect, it } from 'vitest'
import { Row } from '../../../src/data/row.js'
import { parseTemplate, type Segment } from '../../../src/data/templates.js'

const row = (value: object): Row => new Row(value, 'rows', 1, 'fields')
/** what most templates make of a row: a prompt and a completion */
function render(template: string, value: object): { prompt: string; completion: string } {
  const segments: Segment[] = parseTemplate(template).render(row(value), { lossOn: 'all' })
  expect(segments.map((segment) => segment.completion)).toEqual([false, true])
  return { prompt: segments[0]?.text ?? '', completion: segments[1]?.text ?? '' }
}

describe('templates', () => {
  it('text has one field and no prompt', () => {
    const template = parseTemplate('text')
    expect(template.fields).toEqual(['text'])
    expect(template.hasPrompt).toBe(false)
    expect(render('text', { text: 'hello' })).toEqual({ prompt: '', completion: 'hello' })
  })

  it('prompt-completion joins nothing and trims nothing', () => {
    const parts = { prompt: ' p ', completion: ' c ' }
    expect(render('prompt-completion', parts)).toEqual(parts)
  })

  it('a pattern ends its prompt before the last field and gives the blank to the completion', () => {
    const pattern = 'Question: {question}\nAnswer: {answer}.'
    expect(parseTemplate(pattern).fields).toEqual(['question', 'answer'])
    expect(render(pattern, { question: '1+1?', answer: '2' })).toEqual({
      prompt: 'Question: 1+1?\nAnswer:',
      completion: ' 2.',
    })
  })

  it('blanks inside a field stay where they are', () => {
    expect(render('{a}{b}', { a: 'x ', b: 'y' })).toEqual({ prompt: 'x ', completion: 'y' })
  })

  it('a field may be used twice and doubled braces are text', () => {
    expect(parseTemplate('{{{a}}} {a} {b}').fields).toEqual(['a', 'b'])
    expect(render('{{{a}}} {a} {b}', { a: 1, b: '2' })).toEqual({ prompt: '{1} 1', completion: ' 2' })
  })

  it.each(['{', '}', '{}', '{a', 'a}', '{a{b}', '{{a}}'])('refuses the pattern %s', (pattern) => {
    expect(() => parseTemplate(pattern)).toThrowError(expect.objectContaining({ code: 'ARGUMENT' }))
  })

  it('refuses an unknown name with the list of known ones', () => {
    expect(() => parseTemplate('alpaka')).toThrowError(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        found: 'alpaka',
        expected: expect.stringContaining('prompt-completion'),
      }),
    )
  })
})

describe('alpaca', () => {
  const ask = 'Write a response that appropriately completes the request.'

  it('has the prompt with an input', () => {
    expect(render('alpaca', { instruction: 'Add.', input: '1 2', output: '3' })).toEqual({
      prompt: `Below is an instruction that describes a task, paired with an input that provides further context. ${ask}\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:`,
      completion: '3',
    })
  })

  it.each([{}, { input: '' }, { input: null }])('has the shorter prompt without one: %o', (without) => {
    expect(render('alpaca', { instruction: 'Sing.', output: 'La', ...without })).toEqual({
      prompt: `Below is an instruction that describes a task. ${ask}\n\n### Instruction:\nSing.\n\n### Response:`,
      completion: 'La',
    })
  })

  it.each([
    { instruction: 'a' },
    { output: 'b' },
    { instruction: 'a', output: null },
    { instruction: 'a', input: [], output: 'b' },
  ])('refuses %o with its line', (bad) => {
    expect(() => render('alpaca', bad)).toThrowError(
      expect.objectContaining({ code: 'MALFORMED', message: expect.stringContaining('rows, line 1:') }),
    )
  })
})
