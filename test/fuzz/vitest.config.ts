import { defineConfig } from 'vitest/config'

/** Long by design, and so apart from `npm test`. */
export default defineConfig({ test: { include: ['test/fuzz/**/*.fuzz.ts'], testTimeout: 3_600_000 } })
