import { join } from 'node:path'
import { writeAtomic } from '../run/atomic.js'
import type { ReportData } from './data.js'
import { page } from './page.js'
import { readReport } from './run.js'
import { storyOf } from './story.js'

/**
 * Rebuilds a run's report from its folder: one HTML page that opens without a network.
 * @param out default report.html in the run folder
 * @returns the file that was written
 */
export async function writeReport(folder: string, out?: string): Promise<string> {
  const { file } = await makeReport(folder, out)
  return file
}

/** The same, and what a terminal tells of it where the run was diagnosed: under 40 lines. */
export async function makeReport(folder: string, out?: string): Promise<{ file: string; story?: string }> {
  const data = await readReport(folder)
  const file = out ?? join(folder, 'report.html')
  const { html, story } = toldOf(data)
  await writeAtomic(file, html)
  return story === undefined ? { file } : { file, story }
}

/** A damaged or forged diagnosis costs its own sections, never the page. */
function toldOf(data: ReportData): { html: string; story?: string } {
  const { diagnosis, valued } = data
  if (diagnosis === undefined) return { html: page(data) }
  try {
    return { html: page(data), story: storyOf(diagnosis, valued) }
  } catch {
    return { html: page({ ...data, diagnosis: undefined }) }
  }
}
