/**
 * Logarithm and exponential from + - * / alone, which IEEE 754 rounds the same everywhere: Math.log and Math.exp may differ in
 * the last bit between machines, and a client's share of the data must not. Both are right to about 1e-15.
 */

const LN2_HIGH = 0.6931471803691238
const LN2_LOW = 1.9082149292705877e-10

/** Natural logarithm of a positive, normal number: x = 2^k m with m near 1, and ln m = 2 artanh((m - 1) / (m + 1)). */
export function ln(x: number): number {
  let m = x
  let k = 0
  while (m > Math.SQRT2) {
    m /= 2
    k++
  }
  while (m < Math.SQRT1_2) {
    m *= 2
    k--
  }
  const z = (m - 1) / (m + 1)
  const square = z * z
  // |z| < 0.172, so that the term after z^23 / 23 is below 1e-19
  let sum = 0
  for (let n = 23; n >= 1; n -= 2) sum = sum * square + 1 / n
  return k * LN2_HIGH + (k * LN2_LOW + 2 * z * sum)
}

/** e to the x, for x up to 700; 0 below -700. x = k ln 2 + r with |r| <= ln 2 / 2, and a Taylor series for r. */
export function exp(x: number): number {
  if (x < -700) return 0
  const k = Math.round(x / LN2_HIGH)
  const r = x - k * LN2_HIGH - k * LN2_LOW
  let sum = 1
  for (let n = 18; n >= 1; n--) sum = 1 + (sum * r) / n
  const factor = k < 0 ? 0.5 : 2
  for (let i = Math.abs(k); i > 0; i--) sum *= factor
  return sum
}
