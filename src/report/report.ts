import { join } from 'node:path'
import { writeAtomic } from '../run/atomic.js'
import { page } from './page.js'
import { readReport } from './run.js'

/**
 * Rebuilds a run's report from its folder: one HTML page that opens without a network.
 * @param out default report.html in the run folder
 * @returns the file that was written
 */
export async function writeReport(folder: string, out?: string): Promise<string> {
  const file = out ?? join(folder, 'report.html')
  await writeAtomic(file, page(await readReport(folder)))
  return file
}
