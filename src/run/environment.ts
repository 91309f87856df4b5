/** What a run ran on, without anything that names a person, a machine or a place on it. */
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CpuInfo } from '../native/binding/system.js'
import { native } from '../native/load.js'

export interface Environment {
  /** version of this package */
  oneround: string
  /** version of Node.js, without the `v` */
  node: string
  platform: string
  arch: string
  /** instruction set in use */
  isa: string
  /** every instruction set of this machine, worst first */
  isaAvailable: string[]
  /** whether that set has bf16 products, which compute: auto then takes */
  bf16: boolean
  /** the processor's marketing name */
  cpu: string
  cores: number
  /** of the machine, in bytes */
  memory: number
  /** threads a job was given */
  threads: number
}

/** Describes this process. `cpu` defaults to what the addon says; `threads` to all cores. */
export function environment(o: { threads?: number | undefined; cpu?: CpuInfo | undefined } = {}): Environment {
  const cpu = o.cpu ?? native().cpu()
  return {
    oneround: packageVersion(),
    node: process.versions.node,
    platform: process.platform,
    arch: process.arch,
    isa: cpu.isa,
    isaAvailable: [...cpu.available],
    bf16: cpu.bf16,
    cpu: cpus()[0]?.model.trim() || 'unknown',
    cores: cpu.cores,
    memory: totalmem(),
    threads: o.threads ?? availableParallelism(),
  }
}

let version: string | undefined

/** This package's version; src/run and dist/run lie equally deep below package.json. */
export function packageVersion(): string {
  if (version === undefined) {
    const file = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'package.json')
    const json: unknown = JSON.parse(readFileSync(file, 'utf8'))
    version = typeof json === 'object' && json !== null && 'version' in json ? String(json.version) : 'unknown'
  }
  return version
}
