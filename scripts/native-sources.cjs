// Lists C++ sources for binding.gyp, one a line: node scripts/native-sources.cjs FOLDER|FILE.. [--except NAME]
// gyp has no wildcards. A folder that is not there counts as empty; a packed install has no tests, for example.
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')

/** Every .cc below `place` (or `place` itself), in a fixed order and relative to the package's root. */
function sources(place, except) {
  const full = path.join(root, place)
  if (!fs.existsSync(full)) return []
  if (fs.statSync(full).isFile()) return [place]
  return fs
    .readdirSync(full)
    .sort()
    .flatMap((name) => {
      if (fs.statSync(path.join(full, name)).isDirectory()) return sources(`${place}/${name}`, except)
      return name.endsWith('.cc') && name !== except ? [`${place}/${name}`] : []
    })
}

const places = process.argv.slice(2)
const flag = places.indexOf('--except')
const except = flag < 0 ? undefined : places.splice(flag, 2)[1]
console.log(places.flatMap((place) => sources(place, except)).join('\n'))
