import { describe, expect, it } from 'vitest'
import { parseTemplate } from '../../../src/data/templates.js'

describe('templates', () => {
  it('text has one field and no prompt', () => {
    const template = parseTemplate('text')
    expect(template.fields).toEqual(['text'])
    expect(template.hasPrompt).toBe(false)
    expect(template.render(['hello'])).toEqual({ prompt: '', completion: 'hello' })
  })

  it('prompt-completion joins nothing and trims nothing', () => {
    expect(parseTemplate('prompt-completion').render([' p ', ' c '])).toEqual({ prompt: ' p ', completion: ' c ' })
  })

  it('a pattern ends its prompt before the last field and gives the blank to the completion', () => {
    const template = parseTemplate('Question: {question}\nAnswer: {answer}.')
    expect(template.fields).toEqual(['question', 'answer'])
    expect(template.render(['1+1?', '2'])).toEqual({ prompt: 'Question: 1+1?\nAnswer:', completion: ' 2.' })
  })

  it('blanks inside a field stay where they are', () => {
    expect(parseTemplate('{a}{b}').render(['x ', 'y'])).toEqual({ prompt: 'x ', completion: 'y' })
  })

  it('a field may be used twice and doubled braces are text', () => {
    const template = parseTemplate('{{{a}}} {a} {b}')
    expect(template.fields).toEqual(['a', 'b'])
    expect(template.render(['1', '2'])).toEqual({ prompt: '{1} 1', completion: ' 2' })
  })

  it.each(['{', '}', '{}', '{a', 'a}', '{a{b}', '{{a}}'])('refuses the pattern %s', (pattern) => {
    expect(() => parseTemplate(pattern)).toThrowError(expect.objectContaining({ code: 'ARGUMENT' }))
  })

  it('refuses an unknown name with the list of known ones', () => {
    expect(() => parseTemplate('alpaca')).toThrowError(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        found: 'alpaca',
        expected: expect.stringContaining('prompt-completion'),
      }),
    )
  })
})
