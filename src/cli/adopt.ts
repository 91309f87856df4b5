import type { Command } from 'commander'
import { readAdapter } from '../adapter/convert.js'
import { formOf } from '../adapter/forms.js'
import { formatBytes } from '../report/numbers.js'
import { adopt } from '../update/adopt.js'
import { readPlan } from '../update/plan.js'
import { openBase } from './base.js'
import { runJob } from './job.js'
import { type CommonFlags, count, withCommon } from './options.js'
import { checkClient } from './plan.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags {
  client: string
  examples: number
  tokens?: number
  base?: string
  out: string
}

export function addAdopt(program: Command, terminal: Terminal): void {
  const command = program
    .command('adopt')
    .description('an adapter trained elsewhere (PEFT, MLX, GGUF) as an update of a plan')
    .argument('<plan>', 'the plan')
    .argument('<adapter>', 'the adapter: a PEFT or MLX folder, or a GGUF file')
    .requiredOption('--client <name>', "this client's name in the plan")
    .requiredOption('--examples <n>', 'examples that it was trained on', count)
    .option('--tokens <n>', 'tokens that it was trained on, an epoch', count)
    .option('--base <path>', "the model that it was trained on: compared with the plan's; needed for a GGUF adapter")
    .requiredOption('--out <file>', 'the update')
  withCommon(command, [
    'oneround adopt plan.json adapter --client north --examples 1200 --out north.update.safetensors',
    'oneround adopt plan.json adapter --client north --examples 1200 --base models/base --out north.update.safetensors',
  ]).action(async (file: string, source: string, flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      const plan = await readPlan(file)
      checkClient(plan, flags.client)
      await using base = flags.base === undefined ? undefined : await openBase(flags.base, job.options)
      const adapter = await readAdapter(source, await formOf(source), base)
      const { client, examples, tokens } = flags
      const update = await adopt(plan, adapter, { client, examples, tokens, base })
      const saved = await update.save(flags.out)
      return {
        json: { file: flags.out, ...saved, info: update.info },
        text: `update written to ${flags.out} (${formatBytes(saved.bytes)}, SHA-256 ${saved.sha256})`,
      }
    }),
  )
}
