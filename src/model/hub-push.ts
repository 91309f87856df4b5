/** Files into a repository of the hub, as one commit. The repository is made where it is not there. */
import { OneroundError } from '../errors.js'
import { parseHubAddress } from './hub-address.js'
import { library } from './hub-library.js'
import { hubToken } from './hub-token.js'

export interface PushOptions {
  /** default: HF_ENDPOINT, else the Hugging Face Hub */
  hubUrl?: string | undefined
  /** a new repository is private; default true */
  private?: boolean | undefined
  /** the commit's first line */
  message: string
  signal?: AbortSignal | undefined
}

export interface Pushed {
  repository: string
  commit: string
}

/**
 * @param target `hub:OWNER/NAME`, with `@BRANCH` where it is not main
 * @throws OneroundError ARGUMENT, REFUSED (no token, or one that may not write), UNSUPPORTED (the library is not installed), IO
 */
export async function pushFiles(
  target: string,
  files: readonly (readonly [name: string, content: Uint8Array | string])[],
  o: PushOptions,
): Promise<Pushed> {
  const { repository, revision } = parseHubAddress(target)
  const hub = await library(target)
  const token = await hubToken()
  if (token === undefined) {
    throw new OneroundError('REFUSED', `Writing to ${target} needs a token of the hub.`, {
      found: 'no HF_TOKEN and no token file',
      expected: 'a token that may write',
      fix: 'Set HF_TOKEN, or log in with the hub’s own tool.',
    })
  }
  const hubUrl = (o.hubUrl ?? process.env.HF_ENDPOINT)?.replace(/\/+$/, '')
  const common = { accessToken: token, ...(hubUrl ? { hubUrl } : {}) }
  try {
    await createWhereAbsent(hub, repository, o.private ?? true, common)
    const output = await hub.uploadFiles({
      repo: repository,
      branch: revision,
      commitTitle: o.message,
      files: files.map(([path, content]) => ({
        path,
        content: new Blob([typeof content === 'string' ? content : Uint8Array.from(content)]),
      })),
      // Plain HTTP, as for fetching; adapters are small.
      useXet: false,
      ...(o.signal === undefined ? {} : { abortSignal: o.signal }),
      ...common,
    })
    return { repository, commit: output?.commit.oid ?? '' }
  } catch (error) {
    throw explained(error, target, token, o.signal, hub.HubApiError)
  }
}

type Library = Awaited<ReturnType<typeof library>>

async function createWhereAbsent(
  hub: Library,
  repository: string,
  isPrivate: boolean,
  common: { accessToken: string; hubUrl?: string },
): Promise<void> {
  try {
    await hub.createRepo({ repo: repository, visibility: isPrivate ? 'private' : 'public', ...common })
  } catch (error) {
    if (!(error instanceof hub.HubApiError) || error.statusCode !== 409) throw error
  }
}

function explained(
  error: unknown,
  target: string,
  token: string,
  signal: AbortSignal | undefined,
  HubApiError: Library['HubApiError'],
): OneroundError {
  if (signal?.aborted) {
    return new OneroundError('ABORTED', 'Sending the files was stopped.', { fix: 'Start it again.' })
  }
  // whatever the other side or a library says, the token is not repeated
  const said = (error instanceof Error ? error.message : String(error)).replaceAll(token, '…').slice(0, 300)
  const status = error instanceof HubApiError ? error.statusCode : undefined
  if (status === 401 || status === 403) {
    return new OneroundError('REFUSED', `The hub does not take ${target} from this token.`, {
      found: `status ${status}: ${said}`,
      expected: 'a token that may write to this repository',
      fix: 'Check the name of the repository and the rights of the token.',
    })
  }
  return new OneroundError('IO', `The files did not reach ${target}.`, {
    found: said,
    expected: 'a hub that can be reached',
    fix: 'Try again; nothing is in the repository unless all of it is.',
  })
}
