/** Reads adapters in either form; folder-save.ts says what they are. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { OneroundError } from '../errors.js'
import { readSafetensors, type SafetensorsTensor } from '../model/safetensors.js'
import { parseJsonObject, readBoundedFile } from '../text/bounded-file.js'
import { type Adapter, makeAdapter } from './adapter.js'
import { type DenseDelta, LONGEST_TENSOR_NAME, MOST_AXES } from './dense.js'
import { floatsOf } from './floats.js'
import { sealSchema, VERSION, VERSION_KEY } from './folder-save.js'
import { CONFIG_LIMIT, loadPeft, readFactors } from './peft.js'
import { parsePeftConfig } from './peft-config.js'
import { DENSE_FILES, FACTORS_FILE, PEFT_SEAL } from './peft-save.js'

export { adapterFileNames } from './folder-save.js'

const [SEAL, DENSE_FILE] = DENSE_FILES

/** The names of an adapter's files that lie in a folder; nothing is read. */
export function foundAdapterFiles(folder: string): string[] {
  return [DENSE_FILE, FACTORS_FILE, SEAL, PEFT_SEAL].filter((name) => existsSync(join(folder, name)))
}

/**
 * The adapter in a folder that `save`, PEFT or `aggregate` wrote.
 * @throws OneroundError NOT_FOUND, MALFORMED (a folder of two adapters, a number that is not finite), UNSUPPORTED
 */
export async function loadAdapter(folder: string): Promise<Adapter> {
  const sealFile = join(folder, SEAL)
  const bytes = await readBoundedFile(sealFile, CONFIG_LIMIT)
  if (bytes === undefined) return loadPeft(folder)
  if (existsSync(join(folder, PEFT_SEAL))) {
    throw new OneroundError('MALFORMED', `${folder} holds two adapters.`, {
      found: `${SEAL} and ${PEFT_SEAL}`,
      expected: 'one of them',
      fix: 'Save the adapter into an empty folder.',
    })
  }
  const result = sealSchema.safeParse(parseJsonObject(bytes, sealFile))
  if (!result.success) {
    const [issue] = result.error.issues
    throw malformed(`${sealFile}: '${issue?.path.join('.').slice(0, 80) ?? ''}' is not valid`, issue?.message)
  }
  const { base, revision, method, factors } = result.data
  const layers =
    factors === null
      ? []
      : (await readFactors(join(folder, FACTORS_FILE), parsePeftConfig(JSON.stringify(factors), sealFile), sealFile))
          .layers
  return makeAdapter(layers, await readDense(join(folder, DENSE_FILE)), {
    base: base ?? undefined,
    revision: revision ?? undefined,
    method: method ?? undefined,
  })
}

async function readDense(file: string): Promise<DenseDelta[]> {
  const { tensors, metadata } = await readSafetensors(file)
  const version = Object.hasOwn(metadata, VERSION_KEY) ? metadata[VERSION_KEY] : undefined
  if (version !== VERSION) {
    throw malformed(`${file} does not say that it holds dense deltas`, `metadata '${VERSION_KEY}': '${VERSION}'`)
  }
  if (tensors.size === 0) throw malformed(`${file} holds no tensor`, 'at least one')
  return [...tensors].map(([name, tensor]) => denseOf(name, tensor, file))
}

function denseOf(name: string, tensor: SafetensorsTensor, file: string): DenseDelta {
  const { dtype, shape } = tensor
  const what = `${file}: ${name.slice(0, LONGEST_TENSOR_NAME)}`
  if (name.length > LONGEST_TENSOR_NAME)
    throw malformed(`${what}… has a long name`, `${LONGEST_TENSOR_NAME} characters`)
  if (dtype !== 'F32') throw malformed(`${what} is of type ${dtype}`, 'F32')
  if (shape.length < 1 || shape.length > MOST_AXES || shape.includes(0))
    throw malformed(`${what} has the shape [${shape.join(', ')}]`, 'one or two sizes of at least 1')
  const values = floatsOf(tensor, what)
  if (!values.every(Number.isFinite)) throw malformed(`${what} holds NaN or infinity`, 'finite numbers')
  return { name, shape, values }
}

function malformed(message: string, expected: string | undefined): OneroundError {
  return new OneroundError('MALFORMED', `${message}.`, {
    ...(expected === undefined ? {} : { expected }),
    fix: 'Save the adapter again.',
  })
}
