/** `hub:OWNER/NAME[/FILE.gguf][@REVISION]`, read and checked: its parts become part of addresses and of paths. */
import { OneroundError } from '../errors.js'

export interface HubAddress {
  /** `owner/name` */
  repository: string
  /** a branch, a tag or a commit */
  revision: string
  /** one .gguf file of the repository */
  file?: string
}

export const HUB_SCHEME = 'hub:'
/** One part of a name or a path: nothing that leads elsewhere, nothing hidden. */
const PART = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/** @throws OneroundError ARGUMENT */
export function parseHubAddress(source: string, revision?: string): HubAddress {
  const [path = '', inside, ...rest] = source.slice(HUB_SCHEME.length).split('@')
  const [owner = '', name = '', file, ...deeper] = path.split('/')
  const parts = [owner, name, ...(file === undefined ? [] : [file])]
  const fine =
    parts.every((part) => PART.test(part) && !part.includes('..')) && rest.length === 0 && deeper.length === 0
  if (!source.startsWith(HUB_SCHEME) || !fine || (file !== undefined && !file.endsWith('.gguf'))) {
    throw new OneroundError('ARGUMENT', `${source} does not name a model of the hub.`, {
      found: source,
      expected: 'hub:OWNER/NAME, hub:OWNER/NAME@REVISION or hub:OWNER/NAME/FILE.gguf@REVISION',
      fix: 'Write it as in hub:HuggingFaceTB/SmolLM2-135M@main.',
    })
  }
  if (revision !== undefined && inside !== undefined && revision !== inside) {
    throw new OneroundError('ARGUMENT', `${source} names a revision and another one is given beside it.`, {
      found: `${inside} and ${revision}`,
      expected: 'one revision',
      fix: 'Leave one of them out.',
    })
  }
  const wanted = inside ?? revision ?? 'main'
  if (!wanted.split('/').every((part) => PART.test(part) && !part.includes('..'))) {
    throw new OneroundError('ARGUMENT', `The revision of ${source} cannot be used.`, {
      found: wanted,
      expected: 'a branch, a tag or a commit',
      fix: 'Copy it from the page of the model.',
    })
  }
  return { repository: `${owner}/${name}`, revision: wanted, ...(file === undefined ? {} : { file }) }
}
