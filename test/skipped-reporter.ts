/** Names, after the run, every test that did not run and why; a skipped test must never look like a passed one. */
import type { Reporter, TestModule } from 'vitest/node'

export class SkippedReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>): void {
    const lines: string[] = []
    for (const module of modules) {
      for (const test of module.children.allTests('skipped')) {
        const result = test.result()
        const note = result.state === 'skipped' ? result.note : undefined
        lines.push(`  ${module.relativeModuleId} > ${test.fullName}${note === undefined ? '' : `: ${note}`}`)
      }
    }
    if (lines.length > 0) console.log(`Skipped (${lines.length}):\n${lines.join('\n')}`)
  }
}
