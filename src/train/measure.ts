/** Any statistic by its name, to its file. */
import type { Dataset } from '../data/dataset.js'
import type { Model } from '../model/open.js'
import { besideUpdate } from '../update/beside.js'
import type { Plan } from '../update/plan.js'
import type { StatisticKind } from '../update/statistic.js'
import { writeStatistic } from '../update/statistic-file.js'
import type { Update } from '../update/update.js'
import type { MeasureOptions } from './end-session.js'
import { measureFisher } from './fisher.js'
import { measureRegMean } from './regmean.js'

interface SavedStatistic {
  kind: StatisticKind
  file: string
  sha256: string
  bytes: number
}

/**
 * Measures at an update that was just saved, and writes what it found beside it.
 * @param saved the update, its file, and the digest that `save` gave
 */
export async function saveStatistic(
  kind: StatisticKind,
  base: Model,
  data: Dataset,
  plan: Plan,
  { update, file, sha256 }: { update: Update; file: string; sha256: string },
  o: MeasureOptions = {},
): Promise<SavedStatistic> {
  const { client, planSha256, round, startSha256 } = update.info
  const measure = { fisher: measureFisher, regmean: measureRegMean }[kind]
  const layers = await measure(base, data, plan, update, o)
  const info = { kind, client, planSha256, round, startSha256, updateSha256: sha256 }
  const path = besideUpdate(file, kind)
  return { kind, file: path, ...(await writeStatistic(path, plan, info, layers)) }
}
