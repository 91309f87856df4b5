/**
 * What clients may measure beside their update, for methods that weigh by it: given as numbers, or read from files a
 * layer at a time. It never travels inside an update file.
 */
import { OneroundError } from '../errors.js'
import type { UpdateInfo } from '../update/info.js'
import type { Plan } from '../update/plan.js'
import { checkStatisticOrigin, type LayerStatistic, type StatisticKind, statisticRefusal } from '../update/statistic.js'
import { openStatistic, type StatisticFile } from '../update/statistic-file.js'

/** client -> layer -> statistic */
export type ClientStatistics = Readonly<Record<string, Readonly<Record<string, LayerStatistic>>>>

/** One client's statistic of one layer; undefined: there is none. */
export type StatisticReader = (client: string, layer: string) => Promise<LayerStatistic | undefined>

/** Whose updates are summed. */
interface Measured {
  info: UpdateInfo
  /** of the update file */
  sha256: string
}

/**
 * Numbers or files as methods read them. Files must be of the clients that are summed, of this method, and measured at
 * exactly their updates; all are checked before the first number is used.
 */
export async function statisticReader(
  statistics: ClientStatistics | readonly string[] | undefined,
  kind: StatisticKind,
  plan: Plan,
  members: readonly Measured[],
): Promise<StatisticReader> {
  if (statistics === undefined || !isFiles(statistics)) return async (client, layer) => statistics?.[client]?.[layer]
  const known = new Map(members.map((member) => [member.info.client, member]))
  const opened = new Map<string, StatisticFile>()
  for (const path of statistics) {
    const statistic = await openStatistic(path, plan)
    checkMember(statistic, kind, plan, known, opened)
    opened.set(statistic.info.client, statistic)
  }
  return async (client, layer) => opened.get(client)?.layer(layer)
}

function isFiles(statistics: ClientStatistics | readonly string[]): statistics is readonly string[] {
  return Array.isArray(statistics)
}

function checkMember(
  { info }: StatisticFile,
  kind: StatisticKind,
  plan: Plan,
  known: ReadonlyMap<string, Measured>,
  opened: ReadonlyMap<string, StatisticFile>,
): void {
  const { client } = info
  const member = known.get(client)
  if (member === undefined)
    throw statisticRefusal(client, 'client', `'${client}', who sent no update`, 'a client whose update is summed')
  if (opened.has(client)) throw statisticRefusal(client, 'once', 'a second statistic', 'one of each client')
  if (info.kind !== kind) throw statisticRefusal(client, 'kind', `a statistic of ${info.kind}`, `one of ${kind}`)
  checkStatisticOrigin(plan, info, member.info)
  if (info.updateSha256 === member.sha256) return
  throw statisticRefusal(client, 'update', `measured at update ${info.updateSha256}`, `at ${member.sha256}`)
}

/** The error for a client without what a method needs. */
export function noStatistic(method: string, client: string, layer: string, found: string, expected: string) {
  return new OneroundError('REFUSED', `${method} needs the statistic of client '${client}' for layer '${layer}'.`, {
    found,
    expected,
    fix: `Give the statistics of every client (train --statistic ${method}), or choose another method.`,
  })
}
