import { join } from 'node:path'
import { writeAtomic } from '../run/atomic.js'
import type { ReportData } from './data.js'
import { page } from './page.js'
import { readReport } from './run.js'

/**
 * Rebuilds a run's report from its folder: one HTML page that opens without a network.
 * @param out default report.html in the run folder
 * @returns the file that was written
 */
export async function writeReport(folder: string, out?: string): Promise<string> {
  const file = out ?? join(folder, 'report.html')
  await writeAtomic(file, pageOf(await readReport(folder)))
  return file
}

/** A damaged or forged diagnosis costs its own sections, never the page. */
function pageOf(data: ReportData): string {
  try {
    return page(data)
  } catch (error) {
    if (data.diagnosis === undefined) throw error
    return page({ ...data, diagnosis: undefined })
  }
}
