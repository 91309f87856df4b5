import type { Dataset } from '../data/dataset.js'
import { loadExamples } from '../data/load.js'
import type { Model } from '../model/open.js'
import type { Plan } from '../update/plan.js'

interface DataFlags {
  data: string[]
  columns?: string[]
}

/** Data as a plan reads it: its template and cut, the base's tokenizer. @param keep fields that examples carry along */
export function loadPlanData(
  flags: DataFlags,
  plan: Plan,
  base: Model,
  o: { signal: AbortSignal; keep?: string[] },
): Promise<Dataset> {
  const { template, cutoff, lossOn } = plan.data
  const { data, columns } = flags
  return loadExamples(data, { template, cutoff, lossOn, columns, tokenizer: base.tokenizer, ...o })
}
