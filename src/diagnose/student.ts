/** Student's t distribution, for intervals over few seeds. */

/** ln Gamma(x), x > 0, by Lanczos' series (g = 7, n = 9). Source: Lanczos, SIAM J. Numer. Anal. B 1 (1964). */
function logGamma(x: number): number {
  const c = [
    676.5203681218851, -1259.1392167224028, 771.3234287776531, -176.6150291621406, 12.507343278686905,
    -0.13857109526572012, 9.984369578019572e-6, 1.5056327351493116e-7,
  ]
  const t = x + 6.5
  const sum = c.reduce((total, value, i) => total + value / (x + i), 0.9999999999998099)
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum)
}

/** Regularised incomplete beta I_x(a, b) by its continued fraction, evaluated from the front (Lentz). */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0
  if (x >= 1) return 1
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a)
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a
  const tiny = 1e-300
  let f = 1
  let c = 1
  let d = 0
  for (let i = 0; i <= 300; i++) {
    const m = Math.floor(i / 2)
    const numerator =
      i === 0
        ? 1
        : i % 2 === 0
          ? (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
          : (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
    d = 1 + numerator * d
    d = 1 / (Math.abs(d) < tiny ? tiny : d)
    c = 1 + numerator / c
    if (Math.abs(c) < tiny) c = tiny
    f *= c * d
    if (Math.abs(c * d - 1) < 1e-14) break
  }
  return front * (f - 1)
}

/** P(T <= t) with `freedom` degrees of freedom, which need not be whole; infinite: the normal distribution's limit at 1e7. */
export function studentProbability(t: number, freedom: number): number {
  const v = Math.min(freedom, 1e7)
  const tail = incompleteBeta(v / (v + t * t), v / 2, 0.5) / 2
  return t > 0 ? 1 - tail : tail
}

/** The t that a probability above one half is reached at, by bisection. */
export function studentQuantile(probability: number, freedom: number): number {
  let low = 0
  let high = 2
  while (studentProbability(high, freedom) < probability && high < 1e12) high *= 2
  for (let i = 0; i < 200 && high - low > 1e-12 * high; i++) {
    const middle = (low + high) / 2
    if (studentProbability(middle, freedom) < probability) low = middle
    else high = middle
  }
  return (low + high) / 2
}
