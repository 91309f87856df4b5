/** The 20th, 50th and 80th percentile of some numbers, by linear interpolation, to four significant digits. */
export function percentiles(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (fraction) => {
    const place = fraction * (sorted.length - 1)
    const below = Math.floor(place)
    const above = Math.ceil(place)
    return Number((sorted[below] + (place - below) * (sorted[above] - sorted[below])).toPrecision(4))
  }
  return { p20: at(0.2), p50: at(0.5), p80: at(0.8) }
}
