// npm's install step: builds the addon from source. Quiet unless it fails. ONEROUND_SKIP_BUILD=1 leaves it out.
const { missing } = require('./prerequisites.cjs')
const { build } = require('./native-build.cjs')

const tailLines = 40

function main() {
  if (process.env.ONEROUND_SKIP_BUILD === '1') return 0
  const sentences = missing()
  if (sentences.length > 0) {
    console.error(sentences.join('\n'))
    return 1
  }
  const { failed, output } = build({ quiet: true })
  if (failed === undefined) return 0
  const lines = output.trimEnd().split('\n')
  console.error(lines.slice(-tailLines).join('\n'))
  console.error(
    `\noneround: the addon could not be built; the last ${Math.min(tailLines, lines.length)} lines are above. The command was:\n  ${failed}`,
  )
  return 1
}

process.exitCode = main()
