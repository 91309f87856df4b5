// A peer that stays loaded and measures once for every line that it reads, so that both sides can take turns.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export class LineProcess {
  #child
  #lines
  #errors = ''

  constructor(program, args) {
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#errors = (this.#errors + text).slice(-10_000)
    })
    this.#child.on('error', (error) => {
      this.#errors += error.message
    })
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  /** The next line that is JSON. */
  async next() {
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) throw new Error(`the peer ended:\n${this.#errors}`)
      if (value.startsWith('{')) return JSON.parse(value)
    }
  }

  /** Asks for one measurement. */
  measure() {
    this.#child.stdin.write('\n')
    return this.next()
  }

  close() {
    this.#child.stdin.end()
  }
}
