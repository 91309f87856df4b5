/** How numbers are written, the same in the terminal and in the report. */

/** A loss in nats a token. */
export function formatLoss(loss: number): string {
  return Number.isFinite(loss) ? loss.toFixed(3) : 'not finite'
}

export function formatPerplexity(perplexity: number): string {
  if (!Number.isFinite(perplexity)) return 'not finite'
  if (perplexity < 100) return perplexity.toFixed(2)
  if (perplexity < 10_000) return perplexity.toFixed(0)
  return perplexity.toExponential(1)
}

/** Decimal units, as networks are sold: 1 kB is 1000 bytes. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return '–'
  if (bytes === 0) return '0'
  let value = bytes
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (value < 999.5) return `${unit === 'B' || value >= 99.95 ? value.toFixed(0) : value.toFixed(1)} ${unit}`
    value /= 1000
  }
  return `${value.toFixed(1)} TB`
}

/** `8.4 s`, `2 min 05 s`, `1 h 10 min`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–'
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`
  const whole = Math.round(seconds)
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')} min`
}

export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+(?!\d))/g, ',')
}

/** `-0.42`: a loss difference in nats, told in thousandths. */
export function thousandths(nats: number): string {
  return (nats * 1000).toFixed(2)
}

/** `-0.42 to 0.17`, of an interval in nats; a dash where it is unknown. */
export function thousandthsRange(interval: readonly [number, number] | undefined): string {
  return interval === undefined ? '–' : interval.map(thousandths).join(' to ')
}
