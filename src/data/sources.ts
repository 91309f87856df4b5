/** Which files a person means by a path: a file, a folder, or a list of either. */
import { readdir, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { OneroundError } from '../errors.js'

export type FileKind = 'jsonl' | 'json' | 'csv' | 'tsv' | 'parquet' | 'text'

interface SourceFile {
  path: string
  kind: FileKind
  bytes: number
}

const KINDS: Readonly<Record<string, FileKind>> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.json': 'json',
  '.csv': 'csv',
  '.tsv': 'tsv',
  '.parquet': 'parquet',
  '.txt': 'text',
}
const EXTENSIONS = Object.keys(KINDS).join(', ')

/** A larger file is refused: its examples would not fit in memory anyway. */
export const MAX_FILE_BYTES = 2 ** 32

/**
 * Files in the order given; a folder stands for its files of a known kind by name, without its subfolders.
 * @throws OneroundError NOT_FOUND, UNSUPPORTED (another extension), ARGUMENT (a file given twice, or too large), IO
 */
export async function listFiles(source: string | readonly string[]): Promise<SourceFile[]> {
  const paths = typeof source === 'string' ? [source] : source
  const files: SourceFile[] = []
  for (const path of paths) files.push(...(await expand(path)))
  const seen = new Set<string>()
  for (const { path } of files) {
    if (seen.has(path)) {
      throw new OneroundError('ARGUMENT', `${path} is given twice.`, {
        expected: 'each file once',
        fix: 'Name it once; its rows would count twice.',
      })
    }
    seen.add(path)
  }
  return files
}

async function expand(path: string): Promise<SourceFile[]> {
  const { isFolder, file } = await look(path)
  if (!isFolder) return [file ?? refuseKind(path)]
  const names = (await readdir(path)).filter((name) => !name.startsWith('.') && extname(name) in KINDS).sort()
  const files: SourceFile[] = []
  for (const name of names) {
    const inside = await look(join(path, name))
    if (inside.file) files.push(inside.file)
  }
  if (files.length === 0) {
    throw new OneroundError('NOT_FOUND', `The folder ${path} holds no data.`, {
      found: 'no file of a known kind',
      expected: `files ending in ${EXTENSIONS}`,
      fix: 'Name a folder with such files, or the files themselves.',
    })
  }
  return files
}

async function look(path: string): Promise<{ isFolder: boolean; file?: SourceFile }> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    const missing = error.code === 'ENOENT' || error.code === 'ENOTDIR'
    throw new OneroundError(
      missing ? 'NOT_FOUND' : 'IO',
      `${path}: ${missing ? 'no such file or folder' : error.code}.`,
      {
        expected: 'a data file or a folder of data files',
        fix: 'Check the path and the right to read it.',
        cause: error,
      },
    )
  })
  if (found.isDirectory()) return { isFolder: true }
  const kind = KINDS[extname(path).toLowerCase()]
  // a pipe or a device has no end that could be trusted
  if (kind === undefined || !found.isFile()) return { isFolder: false }
  if (found.size > MAX_FILE_BYTES) {
    throw new OneroundError('ARGUMENT', `${path} is too large.`, {
      found: `${found.size} bytes`,
      expected: `at most ${MAX_FILE_BYTES} bytes`,
      fix: 'Split it into several files, or take a sample of it.',
    })
  }
  return { isFolder: false, file: { path, kind, bytes: found.size } }
}

function refuseKind(path: string): never {
  throw new OneroundError('UNSUPPORTED', `${path} is not a file of a known kind.`, {
    found: extname(path) === '' ? 'no extension' : extname(path),
    expected: `a regular file ending in ${EXTENSIONS}`,
    fix: 'Write the data as JSON Lines (one object a line), CSV, Parquet or plain text.',
  })
}
