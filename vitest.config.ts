import { defineConfig } from 'vitest/config'
import { SkippedReporter } from './test/skipped-reporter.js'

// .ci/run reads the counts of its closing line from here.
const results = process.env.ONEROUND_TEST_RESULTS

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // A process per file: the addon, its threads and what a test does to them end with the file.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: [
      'default',
      new SkippedReporter(),
      ...(results === undefined ? [] : [['json', { outputFile: results }] as ['json', { outputFile: string }]]),
    ],
  },
})
