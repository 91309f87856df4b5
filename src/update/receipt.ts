/** The receipt: what a client keeps about an update it made. It stays at the client. */
import { z } from 'zod'
import { writeAtomic } from '../run/atomic.js'
import { packageVersion } from '../run/environment.js'
import { stemOf } from './beside.js'
import { checkJson, readJson } from './checked-json.js'
import { LIMITS } from './limits.js'
import { clientName, type Plan } from './plan-schema.js'
import { STATISTICS, type StatisticKind } from './statistic.js'
import type { Update } from './update.js'

const FIX = 'Keep receipts as train wrote them.'

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const schema = z.strictObject({
  receipt: z.literal(1),
  /** of the update file's bytes */
  update: z.strictObject({ sha256, bytes: z.number().int().min(0) }),
  /** of the file with a statistic, where one was measured */
  statistic: z.strictObject({ kind: z.enum(STATISTICS), sha256, bytes: z.number().int().min(0) }).optional(),
  /** of the control variate's difference, where the strategy lets it travel */
  control: z.strictObject({ sha256, bytes: z.number().int().min(0) }).optional(),
  client: clientName,
  round: z.number().int().min(1),
  planSha256: sha256,
  startSha256: sha256,
  /** ISO 8601, UTC */
  time: z.iso.datetime(),
  versions: z.strictObject({ oneround: z.string(), node: z.string() }),
  settings: z.record(z.string(), z.json()),
  /** looks at the client's own held-out part; with patience the parameters of the last best one were sent */
  evaluations: z
    .array(z.strictObject({ step: z.number().int().min(1), loss: z.number(), best: z.boolean() }))
    .optional(),
  /** every file that was trained on */
  data: z.array(z.strictObject({ path: z.string(), sha256 })),
})

type Receipt = z.output<typeof schema>

interface ReceiptSource {
  update: Update
  /** what Update.save gave */
  saved: { sha256: string; bytes: number }
  /** what writeStatistic gave, where a statistic was measured */
  statistic?: { kind: StatisticKind; sha256: string; bytes: number } | undefined
  /** what travels beside it under scaffold */
  control?: { sha256: string; bytes: number } | undefined
  plan: Plan
  data: readonly { path: string; sha256: string }[]
  /** as train's onEvaluation told them; none: the plan asks for none */
  evaluations?: readonly { step: number; loss: number; best: boolean }[]
  /** default: now */
  time?: Date
  /** what else was set at this client, e.g. threads and instruction set */
  settings?: Readonly<Record<string, string | number | boolean>>
}

export function makeReceipt({
  update,
  saved,
  statistic,
  control,
  plan,
  data,
  evaluations,
  time,
  settings,
}: ReceiptSource): Receipt {
  const { client, round, planSha256, startSha256 } = update.info
  return schema.parse({
    receipt: 1,
    update: { sha256: saved.sha256, bytes: saved.bytes },
    ...(statistic === undefined
      ? {}
      : { statistic: { kind: statistic.kind, sha256: statistic.sha256, bytes: statistic.bytes } }),
    ...(control === undefined ? {} : { control: { sha256: control.sha256, bytes: control.bytes } }),
    client,
    round,
    planSha256,
    startSha256,
    time: (time ?? new Date()).toISOString(),
    versions: { oneround: packageVersion(), node: process.versions.node },
    settings: { base: plan.base, train: plan.train, data: plan.data, ...settings },
    ...(evaluations === undefined || evaluations.length === 0 ? {} : { evaluations: [...evaluations] }),
    data: data.map((file) => ({ path: file.path, sha256: file.sha256 })),
  })
}

/** a.update.safetensors -> a.receipt.json */
export function receiptFile(updateFile: string): string {
  return `${stemOf(updateFile)}.receipt.json`
}

export async function writeReceipt(file: string, receipt: Receipt): Promise<void> {
  await writeAtomic(file, `${JSON.stringify(receipt, undefined, 2)}\n`)
}

export function parseReceipt(json: unknown, source: string): Receipt {
  return checkJson(schema, json, source, FIX)
}

export async function readReceipt(file: string): Promise<Receipt> {
  return readJson(file, LIMITS.receiptBytes, schema, FIX)
}
