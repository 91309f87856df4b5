import { defineConfig } from 'vitest/config'
import { SkippedReporter } from './test/skipped-reporter.js'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // A process per file: the addon, its threads and what a test does to them end with the file.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default', new SkippedReporter()],
  },
})
