import { type Command, InvalidArgumentError } from 'commander'

/** Parsers of single flags. A refusal here is a usage error (exit 2) that commander words with the flag's name. */

export function count(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text) || Number(text) < 1)
    throw new InvalidArgumentError('It must be a whole number from 1.')
  return Number(text)
}

export function whole(text: string): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 0.')
  return Number(text)
}

export function number(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.')
  return value
}

/** `a,b,c`; empty parts and repetitions are refused, since either is a slip. */
export function list(text: string): string[] {
  const parts = text.split(',').map((part) => part.trim())
  if (parts.some((part) => part === ''))
    throw new InvalidArgumentError('It must be a list such as a,b,c without empty parts.')
  const twice = parts.find((part, at) => parts.indexOf(part) !== at)
  if (twice !== undefined) throw new InvalidArgumentError(`'${twice}' stands in it twice.`)
  return parts
}

/** `1e-4,3e-4`. */
export function numbers(text: string): number[] {
  return list(text).map(number)
}

/** `name=8,other=4`. */
export function pairs(text: string): Record<string, number> {
  const out: [string, number][] = list(text).map((part) => {
    const at = part.lastIndexOf('=')
    if (at < 1)
      throw new InvalidArgumentError(`It must be a list such as name=1,other=2; '${part}' has no name and number.`)
    return [part.slice(0, at), number(part.slice(at + 1))]
  })
  return Object.fromEntries(out)
}

export function choice<T extends string>(...allowed: readonly T[]): (text: string) => T {
  return (text) => {
    const found = allowed.find((name) => name === text)
    if (found === undefined) throw new InvalidArgumentError(`It must be one of ${allowed.join(', ')}.`)
    return found
  }
}

export function listOf<T extends string>(...allowed: readonly T[]): (text: string) => T[] {
  const one = choice(...allowed)
  return (text) => list(text).map(one)
}

/** `auto` or a whole number from 1. */
export function autoOrCount(text: string): 'auto' | number {
  return text === 'auto' ? 'auto' : count(text)
}

/** `auto`, a whole number from 1, or `energy:0.99`. */
export function rankRule(text: string): 'auto' | number | { energy: number } {
  if (!text.startsWith('energy:')) return autoOrCount(text)
  const energy = number(text.slice('energy:'.length))
  if (!(energy > 0 && energy <= 1)) throw new InvalidArgumentError('The energy must be above 0 and at most 1.')
  return { energy }
}

/** `epoch` or a whole number from 1. */
export function epochOrCount(text: string): 'epoch' | number {
  return text === 'epoch' ? 'epoch' : count(text)
}

/** `examples`, `tokens`, `uniform`, or a number for each client. */
export function weights(text: string): 'examples' | 'tokens' | 'uniform' | Record<string, number> {
  if (text === 'examples' || text === 'tokens' || text === 'uniform') return text
  if (!text.includes('='))
    throw new InvalidArgumentError('It must be examples, tokens, uniform, or a list such as a=0.3,b=0.7.')
  return pairs(text)
}

/** What every command takes. */
export interface CommonFlags {
  json?: true
  threads?: number
  device: 'cpu' | 'cuda'
}

export function withCommon(command: Command, examples: readonly string[]): Command {
  return command
    .option('--json', 'print the result as one JSON value on standard output')
    .option('--threads <n>', 'threads to compute with (default: the cores that this process may use)', count)
    .option('--device <device>', 'where to compute: cpu or cuda', choice('cpu', 'cuda'), 'cpu')
    .addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ ${example}`).join('\n')}`)
}
