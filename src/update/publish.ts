/** An adapter to a repository of the hub and back. */
import { join } from 'node:path'
import { readAdapter } from '../adapter/convert.js'
import { foundAdapterFiles } from '../adapter/folder.js'
import { formOf, unknownForm } from '../adapter/forms.js'
import { MLX_CONFIG, MLX_FILE } from '../adapter/mlx-save.js'
import { OneroundError } from '../errors.js'
import { fetchAdapter, type HubOptions } from '../model/hub.js'
import { type Pushed, type PushOptions, pushFiles } from '../model/hub-push.js'
import { writeSealed } from '../run/atomic.js'
import { readBoundedFile } from '../text/bounded-file.js'
import { sha256Of } from '../text/digest.js'
import { cardText, STACK_WARNING } from './card.js'
import type { Plan } from './plan-schema.js'

const LIMIT = 2 ** 31 - 1

export interface PublishOptions extends Partial<PushOptions> {
  plan?: Plan | undefined
  /** what `diagnose` said about one round being enough */
  verdict?: string | undefined
}

export interface Published extends Pushed {
  files: string[]
  /** what a person should know */
  notes: string[]
}

/**
 * Sends an adapter folder (PEFT's, MLX's or ours) with a model card made of what is known about it.
 * @throws OneroundError UNSUPPORTED (no adapter folder), REFUSED (no token), ARGUMENT, IO
 */
export async function publish(folder: string, target: string, o: PublishOptions = {}): Promise<Published> {
  const { adapter, files } = await readFolder(folder)
  const digests = files.map(([name, content]) => ({ name, sha256: sha256Of(content) }))
  const card = cardText({ adapter, files: digests, plan: o.plan, verdict: o.verdict })
  const message = o.message ?? 'Federated LoRA adapter'
  const pushed = await pushFiles(target, [...files, ['README.md', card]], { ...o, message })
  const notes = adapter.origin.method === 'stack' ? [STACK_WARNING] : []
  return { ...pushed, files: [...files.map(([name]) => name), 'README.md'], notes }
}

/**
 * Fetches an adapter and, when it has been read through, writes its files into a folder.
 * @throws OneroundError NOT_FOUND, MALFORMED, UNSUPPORTED, IO; nothing is left behind
 */
export async function pull(source: string, out: string, o: HubOptions = {}): Promise<string[]> {
  const fetched = await fetchAdapter(source, o)
  const { files } = await readFolder(fetched.folder)
  const card = fetched.files.includes('README.md')
    ? await readBoundedFile(join(fetched.folder, 'README.md'), LIMIT)
    : undefined
  const all: [string, Uint8Array][] = [
    ...(card === undefined ? [] : [['README.md', card] as [string, Uint8Array]]),
    ...files,
  ]
  await writeSealed(out, all)
  return all.map(([name]) => join(out, name))
}

/** The adapter, read through, and its files' bytes; the config, which seals a folder, last. */
async function readFolder(folder: string) {
  const form = await formOf(folder)
  if (form !== 'peft' && form !== 'mlx') throw unknownForm(folder)
  const adapter = await readAdapter(folder, form, undefined)
  const names = form === 'mlx' ? [MLX_FILE, MLX_CONFIG] : foundAdapterFiles(folder)
  const files: [name: string, content: Uint8Array][] = []
  for (const name of names) {
    const bytes = await readBoundedFile(join(folder, name), LIMIT)
    if (bytes === undefined) {
      throw new OneroundError('NOT_FOUND', `${join(folder, name)} is not there.`, { fix: 'Save the adapter again.' })
    }
    files.push([name, bytes])
  }
  return { adapter, files }
}
