import { defineConfig } from 'vitest/config'

/** Long by design, and so apart from `npm test`. */
export default defineConfig({ test: { include: ['test/lifecycle/**/*.long.ts'] } })
