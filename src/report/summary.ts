import type { Arm } from '../federation/arms.js'

/** One arm as a reader compares it: the clients that trained alone are one column, each judged on its own held-out part. */
export interface Column {
  /** `base`, `alone`, `1x3`, `3x1`, `pooled` */
  title: string
  /** nats a token on each client's held-out part */
  perClient: Map<string, { loss: number; perplexity: number }>
  overall: { loss: number; perplexity: number }
}

/** Every client that any arm was judged on, in the order of first mention. */
export function clientsOf(arms: readonly Arm[]): string[] {
  const names = new Set<string>()
  for (const arm of arms) for (const name of Object.keys(arm.perClient)) names.add(name)
  return [...names]
}

/** Arms as columns for the table of clients. */
export function columnsOf(arms: readonly Arm[]): Column[] {
  const columns: Column[] = []
  for (const arm of arms) {
    if (arm.name === 'client') {
      let column = columns.find((c) => c.title === 'alone')
      if (column === undefined) {
        column = aloneColumn(arms.filter((a) => a.name === 'client'))
        columns.push(column)
      }
      continue
    }
    columns.push({ title: arm.name, perClient: new Map(Object.entries(arm.perClient)), overall: arm.overall })
  }
  return columns
}

/** Each lone client's adapter on that client's own held-out part; overall is their mean over tokens. */
function aloneColumn(arms: readonly Arm[]): Column {
  const perClient = new Map<string, { loss: number; perplexity: number }>()
  let sum = 0
  let tokens = 0
  for (const arm of arms) {
    const own = arm.client === undefined ? undefined : arm.perClient[arm.client]
    if (arm.client === undefined || own === undefined) continue
    perClient.set(arm.client, own)
    sum += own.loss * own.tokens
    tokens += own.tokens
  }
  const loss = tokens > 0 ? sum / tokens : Number.NaN
  return { title: 'alone', perClient, overall: { loss, perplexity: Math.exp(loss) } }
}

/** Rows of the table of arms: many lone clients are one row with their means, a few stand one by one. */
interface Row {
  title: string
  loss: number
  perplexity: number
  bytesUp: number
  bytesDown: number
  seconds: number
}

/** More lone clients than this are told as one mean; their own numbers stand in the table of clients. */
const clientRows = 12

export function rowsOf(arms: readonly Arm[]): Row[] {
  const alone = arms.filter((arm) => arm.name === 'client')
  const rows: Row[] = []
  let told = false
  for (const arm of arms) {
    if (arm.name === 'client' && alone.length > clientRows) {
      if (!told) rows.push(meanRow(alone))
      told = true
      continue
    }
    const title = arm.name === 'client' ? `client ${arm.client ?? ''}` : arm.name
    const { bytesUp, bytesDown, seconds } = arm
    rows.push({ title, loss: arm.overall.loss, perplexity: arm.overall.perplexity, bytesUp, bytesDown, seconds })
  }
  return rows
}

function meanRow(alone: readonly Arm[]): Row {
  const mean = (of: (arm: Arm) => number) => alone.reduce((sum, arm) => sum + of(arm), 0) / alone.length
  const loss = mean((arm) => arm.overall.loss)
  return {
    title: `client (mean of ${alone.length})`,
    loss,
    perplexity: Math.exp(loss),
    bytesUp: mean((arm) => arm.bytesUp),
    bytesDown: mean((arm) => arm.bytesDown),
    seconds: mean((arm) => arm.seconds),
  }
}

/** An arm's share of the way from base to pooled, 0 at base, 1 at pooled. Undefined where pooling gained nothing. */
export function shareOfWay(arms: readonly Arm[], loss: number): number | undefined {
  const base = arms.find((arm) => arm.name === 'base')
  const pooled = arms.find((arm) => arm.name === 'pooled')
  if (base === undefined || pooled === undefined) return undefined
  const way = base.overall.loss - pooled.overall.loss
  return way > 0 ? (base.overall.loss - loss) / way : undefined
}
