/** How large and deep a piece of JSON may be before it is parsed. */
interface OutlineLimits {
  /** objects and arrays inside one another */
  depth: number
  /** keys of all objects together */
  keys: number
  /** elements of any one array */
  items: number
}

interface Level {
  /** keys seen so far; undefined in an array */
  keys: Set<string> | undefined
  expectsKey: boolean
  commas: number
}

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/**
 * Walks over JSON text without building anything from it. JSON.parse keeps the last of two equal keys, which lets a
 * file mean one thing to us and another to the next reader, and it will build whatever nesting it is given.
 * @returns what is wrong, or undefined; text that is not JSON at all is left for JSON.parse to refuse
 */
export function outlineFault(text: string, limits: OutlineLimits): string | undefined {
  const stack: Level[] = []
  let keys = 0
  for (let i = 0; i < text.length; i++) {
    const top = stack[stack.length - 1]
    switch (text.charCodeAt(i)) {
      case QUOTE: {
        const end = endOfString(text, i + 1)
        if (end < 0) return 'a string that does not end'
        if (top?.keys !== undefined && top.expectsKey) {
          top.expectsKey = false
          const key = unescapeKey(text.slice(i, end + 1))
          if (top.keys.has(key)) return `the key ${JSON.stringify(key)} twice`
          top.keys.add(key)
          if (++keys > limits.keys) return `more than ${limits.keys} keys`
        }
        i = end
        break
      }
      case OPEN_OBJECT:
      case OPEN_ARRAY: {
        if (stack.length >= limits.depth) return `nesting deeper than ${limits.depth}`
        const isObject = text.charCodeAt(i) === OPEN_OBJECT
        stack.push({ keys: isObject ? new Set() : undefined, expectsKey: isObject, commas: 0 })
        break
      }
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        if (stack.pop() === undefined) return 'a closing bracket without an opening one'
        break
      case COMMA:
        if (top === undefined) break
        if (top.keys !== undefined) top.expectsKey = true
        else if (++top.commas >= limits.items) return `an array of more than ${limits.items} elements`
        break
    }
  }
  return undefined
}

/** Index of the closing quote, or -1. */
function endOfString(text: string, start: number): number {
  for (let i = start; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === QUOTE) return i
    if (code === BACKSLASH) i++
  }
  return -1
}

function unescapeKey(quoted: string): string {
  if (!quoted.includes('\\')) return quoted.slice(1, -1)
  try {
    return String(JSON.parse(quoted))
  } catch {
    return quoted // not JSON; the parser will say so
  }
}
