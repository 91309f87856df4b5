/** Ends a stream of text before the first stop string, wherever the pieces' borders lie. */
import { OneroundError } from '../errors.js'

/** Each is looked for at every piece. */
const MOST = 64
const LONGEST = 1024

export class Stops {
  readonly #stops: readonly string[]
  /** the end of the text so far that may be the beginning of a stop string */
  #held = ''
  #stopped = false

  /** @throws OneroundError ARGUMENT */
  constructor(stops: readonly string[]) {
    if (stops.length > MOST || stops.some((stop) => typeof stop !== 'string' || stop === '' || stop.length > LONGEST)) {
      throw new OneroundError('ARGUMENT', 'The stop strings cannot be used.', {
        found: `${stops.length} strings of ${stops
          .map((stop) => String(stop).length)
          .slice(0, 8)
          .join(', ')} characters`,
        expected: `at most ${MOST} strings of 1 to ${LONGEST} characters`,
        fix: 'Leave empty ones out.',
      })
    }
    this.#stops = stops
  }

  get stopped(): boolean {
    return this.#stopped
  }

  /** @returns the text that can be given out; nothing more follows once `stopped` */
  push(piece: string): string {
    if (this.#stopped) return ''
    const text = this.#held + piece
    const at = this.#first(text)
    if (at >= 0) {
      this.#stopped = true
      this.#held = ''
      return text.slice(0, at)
    }
    const kept = this.#unfinished(text)
    this.#held = text.slice(text.length - kept)
    return text.slice(0, text.length - kept)
  }

  /** What was held back, when no text follows. */
  end(): string {
    const rest = this.#held
    this.#held = ''
    return rest
  }

  #first(text: string): number {
    const places = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0)
    return places.length === 0 ? -1 : Math.min(...places)
  }

  /** characters at the end of a text that begin some stop string */
  #unfinished(text: string): number {
    let most = 0
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > most; length--) {
        if (text.endsWith(stop.slice(0, length))) most = length
      }
    }
    return most
  }
}
