/** The forms in which adapters and models come, told from what lies on the disk. */
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { OneroundError } from '../errors.js'
import { readGguf } from '../model/gguf.js'
import { INDEX, WHOLE } from '../model/weight-files.js'
import { fileError } from '../text/bounded-file.js'
import { foundAdapterFiles } from './folder.js'
import { isGgufAdapter } from './gguf-adapter.js'
import { MLX_FILE } from './mlx-save.js'

/** `peft` is any folder that loadAdapter reads. */
export type Form = 'peft' | 'mlx' | 'gguf-adapter' | 'gguf' | 'hf'

/** @returns undefined for what is none of them @throws OneroundError NOT_FOUND, IO, MALFORMED */
export async function formOf(path: string): Promise<Form | undefined> {
  const found = await stat(path).catch((cause: unknown) => {
    throw fileError(path, cause)
  })
  if (!found.isDirectory()) {
    if (!(await beginsWith(path, 'GGUF'))) return undefined
    return isGgufAdapter(await readGguf(path)) ? 'gguf-adapter' : 'gguf'
  }
  if (await isFile(join(path, MLX_FILE))) return 'mlx'
  if (foundAdapterFiles(path).length > 0) return 'peft'
  const weights = (await isFile(join(path, WHOLE))) || (await isFile(join(path, INDEX)))
  return weights && (await isFile(join(path, 'config.json'))) ? 'hf' : undefined
}

export function unknownForm(path: string): OneroundError {
  return new OneroundError('UNSUPPORTED', `${path} is neither an adapter nor a model.`, {
    found: 'none of these forms',
    expected: 'a PEFT folder, a GGUF file, an MLX adapter folder, or a Hugging Face model folder',
    fix: 'Give the folder or file that holds the adapter or the model itself.',
  })
}

async function beginsWith(path: string, letters: string): Promise<boolean> {
  const handle = await open(path)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(letters.length), 0, letters.length, 0)
    return buffer.toString('latin1', 0, bytesRead) === letters
  } finally {
    await handle.close()
  }
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}
