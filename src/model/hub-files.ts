/** Which files of a repository are needed to open it as a base, and how each is known to be whole. */
import { OneroundError } from '../errors.js'
import { isRecord } from '../text/bounded-file.js'

export interface HubFile {
  /** in the repository and in the cache; without folders */
  name: string
  bytes: number
  /** what the hub's listing says of the bytes: SHA-256 for large files, git's blob id (SHA-1) for small ones */
  digest: { kind: 'sha256' | 'git'; hex: string }
}

const SMALL = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja']
const INDEX = 'model.safetensors.index.json'
const WHOLE = 'model.safetensors'
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/
/** A listing comes from elsewhere: a longer one is no model's top folder. */
export const MAX_LISTED = 10_000

/** One entry of a listing; undefined for folders and for names that are none of ours. */
export function hubFile(entry: unknown, repository: string): HubFile | undefined {
  if (!isRecord(entry) || entry.type !== 'file' || typeof entry.path !== 'string' || !NAME.test(entry.path)) {
    return undefined
  }
  const lfs = isRecord(entry.lfs) ? entry.lfs : undefined
  const [bytes, oid] = lfs === undefined ? [entry.size, entry.oid] : [lfs.size, lfs.oid]
  const kind = lfs === undefined ? 'git' : 'sha256'
  const digits = lfs === undefined ? /^[0-9a-f]{40}$/ : /^[0-9a-f]{64}$/
  if (
    typeof bytes !== 'number' ||
    !Number.isSafeInteger(bytes) ||
    bytes < 0 ||
    typeof oid !== 'string' ||
    !digits.test(oid)
  ) {
    throw new OneroundError('MALFORMED', `The hub's list of ${repository} cannot be used.`, {
      found: `${entry.path} without a size or a digest`,
      expected: 'a size and a SHA-256 or git digest for each file',
      fix: 'Download the model another way and pass its folder.',
    })
  }
  return { name: entry.path, bytes, digest: { kind, hex: oid } }
}

/**
 * A Hugging Face folder's files, or one .gguf file with the tokenizer beside it.
 * @param wanted a .gguf file by name
 * @throws OneroundError NOT_FOUND, or ARGUMENT where several .gguf files could be meant
 */
export function filesToFetch(listed: readonly HubFile[], wanted: string | undefined, repository: string): HubFile[] {
  const small = listed.filter(({ name }) => SMALL.includes(name))
  const named = (name: string): HubFile[] => listed.filter((file) => file.name === name)
  const ggufs = listed.filter(({ name }) => name.endsWith('.gguf'))
  if (wanted !== undefined) {
    if (named(wanted).length === 0) throw nothing(repository, wanted, ggufs)
    return [...small, ...named(wanted)]
  }
  const config = named('config.json')
  if (config.length > 0 && named(WHOLE).length > 0) return [...small, ...named(WHOLE)]
  const shards = listed.filter(({ name }) => /^model-\d+-of-\d+\.safetensors$/.test(name))
  if (config.length > 0 && named(INDEX).length > 0 && shards.length > 0) return [...small, ...named(INDEX), ...shards]
  if (ggufs.length === 1) return [...small, ...ggufs]
  if (ggufs.length > 1) {
    throw new OneroundError('ARGUMENT', `${repository} holds several GGUF files.`, {
      found: names(ggufs),
      expected: 'one of them by name',
      fix: `Write it as in hub:${repository}/${ggufs[0]?.name ?? 'FILE.gguf'}.`,
    })
  }
  throw nothing(repository, 'config.json with model.safetensors, or a .gguf file', listed)
}

/** Files of adapters of PEFT, of mlx-lm and of ours, and the card beside them. */
const ADAPTER = [
  'adapter_config.json',
  'adapter_model.safetensors',
  'adapters.safetensors',
  'oneround_adapter.json',
  'dense.safetensors',
  'README.md',
]

/** @throws OneroundError NOT_FOUND where the repository holds no adapter */
export function adapterFilesToFetch(
  listed: readonly HubFile[],
  _file: string | undefined,
  repository: string,
): HubFile[] {
  const found = listed.filter(({ name }) => ADAPTER.includes(name))
  const isThere = (name: string) => found.some((file) => file.name === name)
  if (isThere('oneround_adapter.json') || isThere('adapter_config.json')) return found
  throw nothing(repository, 'adapter_config.json with adapter_model.safetensors', listed)
}

function nothing(repository: string, wanted: string, found: readonly HubFile[]): OneroundError {
  return new OneroundError('NOT_FOUND', `${repository} holds no model that can be opened.`, {
    found: names(found) || 'no files',
    expected: wanted,
    fix: 'Choose another repository or revision, or convert the model to safetensors.',
  })
}

function names(files: readonly HubFile[]): string {
  const shown = files.slice(0, 16).map(({ name }) => name)
  return files.length > shown.length ? `${shown.join(', ')} and ${files.length - shown.length} more` : shown.join(', ')
}
