import type { Command } from 'commander'
import { Clock } from '../train/job.js'
import { readPlan } from '../update/plan.js'
import { publish, pull } from '../update/publish.js'
import { runJob } from './job.js'
import { type CommonFlags, withCommon } from './options.js'
import type { Terminal } from './terminal.js'

interface PushFlags extends CommonFlags {
  plan?: string
  verdict?: string
  public?: true
  message?: string
}

export function addPush(program: Command, terminal: Terminal): void {
  const command = program
    .command('push')
    .description(
      'an adapter folder to a repository of the hub, with a model card; the token is HF_TOKEN or the hub’s own',
    )
    .argument('<adapter>', 'a PEFT or MLX adapter folder, or one of ours')
    .argument('<repository>', 'hub:OWNER/NAME, or hub:OWNER/NAME@BRANCH')
    .option('--plan <file>', 'the plan that it was made by: base, number of clients and method go into the card')
    .option('--verdict <text>', 'what diagnose said about one round, for the card')
    .option('--public', 'a repository that has to be made is public (default: private)')
    .option('--message <text>', "the commit's first line")
  withCommon(command, ['oneround push adapter hub:OWNER/NAME --plan plan.json']).action(
    async (folder: string, repository: string, flags: PushFlags) =>
      runJob(terminal, flags, async () => {
        const plan = flags.plan === undefined ? undefined : await readPlan(flags.plan)
        const { verdict, message } = flags
        const signal = terminal.signal
        const o = {
          plan,
          verdict,
          private: flags.public !== true,
          signal,
          ...(message === undefined ? {} : { message }),
        }
        const result = await publish(folder, repository, o)
        return {
          json: result,
          text: [`${result.files.length} files in ${result.repository}, commit ${result.commit}`, ...result.notes].join(
            '\n',
          ),
        }
      }),
  )
}

export function addPull(program: Command, terminal: Terminal): void {
  const command = program
    .command('pull')
    .description('an adapter from a repository of the hub into a folder')
    .argument('<repository>', 'hub:OWNER/NAME, or hub:OWNER/NAME@REVISION')
    .requiredOption('--out <folder>', 'the adapter folder')
  withCommon(command, ['oneround pull hub:OWNER/NAME@main --out adapter']).action(
    async (repository: string, flags: CommonFlags & { out: string }) =>
      runJob(terminal, flags, async (job) => {
        const clock = new Clock()
        const files = await pull(repository, flags.out, {
          signal: terminal.signal,
          onProgress: ({ file, done, total }) =>
            job.options.onProgress({
              phase: `fetch ${file}`,
              done,
              total,
              secondsLeft: clock.secondsLeft(done, total),
            }),
        })
        return { json: { files }, text: `adapter written to ${flags.out}` }
      }),
  )
}
