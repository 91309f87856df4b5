/** Files that belong to an update lie beside it: north.update.safetensors, north.receipt.json, north.fisher.safetensors. */

/** What a client writes beside its update: `receipt`, `kept` and `checkpoint` stay; the others may travel with it. */
type Beside = 'control' | 'optimizer' | 'kept' | 'fisher' | 'regmean'

/** north.update.safetensors -> north.control.safetensors */
export function besideUpdate(updateFile: string, what: Beside): string {
  return `${stemOf(updateFile)}.${what}.safetensors`
}

/** north.update.safetensors -> north */
export function stemOf(updateFile: string): string {
  return updateFile.replace(/(\.update)?\.safetensors$/, '')
}
