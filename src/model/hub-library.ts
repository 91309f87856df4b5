/** In a module of its own: the public types must not lead to those of a package that may be absent. */
import { OneroundError } from '../errors.js'

export type Library = typeof import('@huggingface/hub')

/** Loaded at first use, because who has the files needs none of it. */
export async function library(source: string): Promise<Library> {
  try {
    return await import('@huggingface/hub')
  } catch (cause) {
    throw new OneroundError('UNSUPPORTED', `${source} needs the package @huggingface/hub, which is not installed.`, {
      expected: '@huggingface/hub beside oneround',
      fix: 'Add it with: npm install @huggingface/hub, or download the model and pass its folder.',
      cause,
    })
  }
}
