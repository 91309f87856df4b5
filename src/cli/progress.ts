import { printable, shorten } from '../report/escape.js'
import { formatLoss, formatSeconds } from '../report/numbers.js'
import type { Progress } from '../train/job.js'

/** Where progress goes: standard error, or a test's string. */
export interface ProgressSink {
  write(text: string): void
  /** a terminal whose lines can be rewritten */
  live: boolean
  columns(): number
  rows(): number
  /** milliseconds */
  now(): number
}

/** milliseconds between two drawings of a live block, and between two lines where nothing can be rewritten */
const liveInterval = 100
const lineInterval = 3000

/** characters of a bar; on a narrow terminal it gives way to the numbers */
const barWidth = { least: 4, most: 24 }

/**
 * Shows where every running job is: on a terminal one block that rewrites itself, a line a job; elsewhere a line
 * every few seconds. Everything is printed to the sink and nothing is kept, so it may be dropped at any moment.
 */
export class ProgressView {
  readonly #sink: ProgressSink
  readonly #began: number
  /** running jobs in the order they began */
  readonly #active = new Map<string, Progress>()
  #drawn = 0
  #last = Number.NEGATIVE_INFINITY

  constructor(sink: ProgressSink) {
    this.#sink = sink
    this.#began = sink.now()
  }

  update(progress: Progress): void {
    const key = `${progress.phase}\0${progress.client ?? ''}\0${progress.round ?? ''}`
    const finished = progress.total > 0 && progress.done >= progress.total
    if (finished) this.#active.delete(key)
    else this.#active.set(key, progress)
    const now = this.#sink.now()
    if (this.#sink.live) {
      if (now - this.#last < liveInterval) return
      this.#last = now
      this.#draw()
    } else if (now - this.#last >= lineInterval) {
      this.#last = now
      this.#sink.write(`${describe(progress)}\n`)
    }
  }

  /** Lines that stay. */
  note(text: string): void {
    this.#erase()
    for (const line of text.split('\n')) this.#sink.write(`${printable(line)}\n`)
  }

  /** Takes the live block away, so that what follows starts on a clean line. */
  close(): void {
    this.#erase()
    this.#active.clear()
  }

  #erase(): void {
    if (this.#drawn > 0) this.#sink.write(`\u001b[${this.#drawn}A\r\u001b[J`)
    this.#drawn = 0
  }

  #draw(): void {
    const columns = Math.max(20, this.#sink.columns() - 1)
    const room = Math.max(1, this.#sink.rows() - 3)
    const jobs = [...this.#active.values()]
    const shown = jobs.slice(0, room)
    const titles = Math.max(0, ...shown.map((job) => [...title(job)].length))
    const lines = shown.map((job) => shorten(bar(job, titles, columns), columns))
    if (jobs.length > shown.length) lines.push(`… and ${jobs.length - shown.length} more`)
    lines.push(
      `${formatSeconds((this.#sink.now() - this.#began) / 1000)} so far, Ctrl-C stops and keeps what is finished`,
    )
    this.#erase()
    this.#sink.write(`${lines.map((line) => line.slice(0, columns)).join('\n')}\n`)
    this.#drawn = lines.length
  }
}

/** `train Truman round 1  ━━━━━━━╌╌╌╌╌  12/40  loss 3.123  8.4 s left` */
function bar(progress: Progress, titles: number, columns: number): string {
  const told = facts(progress).join('  ')
  const width = Math.min(barWidth.most, Math.max(barWidth.least, columns - titles - told.length - 4))
  const share = progress.total > 0 ? Math.min(1, Math.max(0, progress.done / progress.total)) : 0
  const filled = Math.round(share * width)
  return [title(progress).padEnd(titles), '━'.repeat(filled) + '╌'.repeat(width - filled), told].join('  ')
}

function describe(progress: Progress): string {
  return printable([`${title(progress)}:`, ...facts(progress)].join(' '))
}

function title(progress: Progress): string {
  const { phase, client } = progress
  // Pooled training runs under one client's name, which would only repeat the phase.
  const who = client === undefined || phase.endsWith(` ${client}`) ? '' : ` ${client}`
  const round = progress.round === undefined ? '' : ` round ${progress.round}`
  return `${shorten(`${phase}${who}`, 36)}${round}`
}

function facts(progress: Progress): string[] {
  const out = [progress.total > 0 ? `${progress.done}/${progress.total}` : `${progress.done}`]
  if (progress.loss !== undefined) out.push(`loss ${formatLoss(progress.loss)}`)
  if (Number.isFinite(progress.secondsLeft) && progress.done > 0)
    out.push(`${formatSeconds(progress.secondsLeft)} left`)
  return out
}
