/** Files that belong to an update lie beside it: north.update.safetensors, north.receipt.json, north.fisher.safetensors. */

/** `control` travels with its update, `fisher` and `regmean` may; `optimizer` and `own-control` stay at the client. */
type Beside = 'control' | 'fisher' | 'regmean' | 'optimizer' | 'own-control'

/** north.update.safetensors -> north.control.safetensors */
export function besideUpdate(updateFile: string, what: Beside): string {
  return `${stemOf(updateFile)}.${what}.safetensors`
}

/** north.update.safetensors -> north */
export function stemOf(updateFile: string): string {
  return updateFile.replace(/(\.update)?\.safetensors$/, '')
}
