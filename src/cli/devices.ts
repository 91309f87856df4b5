import type { Command } from 'commander'
import { native } from '../native/load.js'
import { formatBytes } from '../report/numbers.js'
import { environment } from '../run/environment.js'
import { cudaReason, runJob } from './job.js'
import { type CommonFlags, withCommon } from './options.js'
import type { Terminal } from './terminal.js'

export function addDevices(program: Command, terminal: Terminal): void {
  const command = program.command('devices').description('what this machine computes with, and why not with more')
  withCommon(command, ['oneround devices', 'oneround devices --json', 'ONEROUND_ISA=avx2 oneround devices']).action(
    async (flags: CommonFlags) =>
      runJob(terminal, flags, async () => {
        const { threads, cpu, ...rest } = environment({ threads: flags.threads })
        const memoryAvailable = native().cpu().memoryAvailable
        const json = { ...rest, cpu, threads, memoryAvailable, cuda: { available: false, reason: cudaReason } }
        const lines = [
          ['processor', cpu],
          [
            'instruction set',
            `${rest.isa} (this machine could use ${rest.isaAvailable.join(', ')}; ONEROUND_ISA forces one)`,
          ],
          ['products', rest.bf16 ? 'bf16 (compute: auto), or f32' : 'f32'],
          ['cores', `${rest.cores}, ${threads} threads in use`],
          ['memory', `${formatBytes(memoryAvailable)} free of ${formatBytes(rest.memory)}`],
          ['CUDA', `not available: ${cudaReason}`],
          ['versions', `oneround ${rest.oneround}, Node.js ${rest.node}, ${rest.platform}-${rest.arch}`],
        ]
        return { json, text: lines.map(([name, value]) => `${(name ?? '').padEnd(16)}${value}`).join('\n') }
      }),
  )
}
