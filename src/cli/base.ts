import { OneroundError } from '../errors.js'

/** Where the base lies. A plan names its base by digests only, since it travels and paths do not. */
export function baseOf(given: string | undefined): string {
  if (given !== undefined) return given
  throw new OneroundError('ARGUMENT', 'Where the base model lies is not known', {
    found: 'no --base',
    expected: 'a Hugging Face folder or a .gguf file',
    fix: "Add --base PATH; its digest is checked against the plan's.",
  })
}
