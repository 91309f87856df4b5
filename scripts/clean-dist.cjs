// tsc never deletes what it once wrote; a package must not hold files whose source is gone.
const fs = require('node:fs')
const path = require('node:path')

fs.rmSync(path.join(__dirname, '..', 'dist'), { recursive: true, force: true })
