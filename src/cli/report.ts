import type { Command } from 'commander'
import { makeReport } from '../report/report.js'
import { runJob } from './job.js'
import { type CommonFlags, withCommon } from './options.js'
import type { Terminal } from './terminal.js'

export function addReport(program: Command, terminal: Terminal): void {
  const command = program
    .command('report')
    .description('rebuild report.html from a run folder; of a diagnosed run its story is told too')
    .argument('<run>', 'a run folder')
    .option('--out <file>', 'where the report goes (default: report.html in the run folder)')
  withCommon(command, ['oneround report run/demo', 'oneround report run/demo --out comparison.html']).action(
    async (run: string, flags: CommonFlags & { out?: string }) =>
      runJob(terminal, flags, async () => {
        const { file, story } = await makeReport(run, flags.out)
        const written = `report written to ${file}`
        return { json: { report: file }, text: story === undefined ? written : `${story}\n${written}` }
      }),
  )
}
