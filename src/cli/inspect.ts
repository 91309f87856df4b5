import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { formOf } from '../adapter/forms.js'
import { OneroundError } from '../errors.js'
import { openModel } from '../model/open.js'
import { printable } from '../report/escape.js'
import { inspectFile } from '../update/inspect.js'
import { readPlan } from '../update/plan.js'
import { type Result, runJob } from './job.js'
import { type CommonFlags, withCommon } from './options.js'
import type { Terminal } from './terminal.js'

export function addInspect(program: Command, terminal: Terminal): void {
  const command = program
    .command('inspect')
    .description(
      'what a file or folder holds, every field: plan, update, receipt, adapter, run, base model, MLX or GGUF adapter',
    )
    .argument('<path>', 'any file or folder of ours, any .safetensors or .gguf, any adapter or model folder')
    .option('--plan <file>', 'for an update: accepted under this plan, or the rule that it breaks (exit 1)')
  withCommon(command, [
    'oneround inspect plan.json',
    'oneround inspect north.update.safetensors --plan plan.json',
    'oneround inspect run/demo --json',
  ]).action(async (path: string, flags: CommonFlags & { plan?: string }) =>
    runJob(terminal, flags, async () =>
      flags.plan === undefined && (await isBase(path)) ? inspectBase(path) : inspectOurs(path, flags.plan),
    ),
  )
}

interface Field {
  field: string
  value: string
  meaning: string
}

async function inspectOurs(path: string, planFile: string | undefined): Promise<Result> {
  const plan = planFile === undefined ? undefined : await readPlan(planFile)
  const { kind, fields, notes, accepted, refusal } = await inspectFile(path, plan)
  if (plan !== undefined && accepted === undefined) {
    throw new OneroundError('ARGUMENT', '--plan judges updates only', {
      found: `${path}, of kind ${kind}`,
      expected: 'an update file',
      fix: 'Leave --plan out, or give an update.',
    })
  }
  // What breaks a rule has to fail a script too, so the verdict is the exit code.
  if (refusal !== undefined) throw refusal
  const verdict = accepted === true ? ['', 'accepted: it keeps every rule of the plan'] : []
  const text = [...fieldLines(path, kind, fields), '', ...notes.map(printable), ...verdict].join('\n').trimEnd()
  return { json: { path, kind, fields, notes, ...(accepted === undefined ? {} : { accepted }) }, text }
}

async function isBase(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory() === true)
    return (await isFile(join(path, 'config.json'))) && !(await isFile(join(path, 'adapter_config.json')))
  return found?.isFile() === true && (await formOf(path)) === 'gguf'
}

async function inspectBase(path: string): Promise<Result> {
  await using base = await openModel(path)
  const { spec } = base
  const { inverseFrequencies: _, ...shape } = spec.shape
  const types = new Map<string, number>()
  for (const tensor of spec.tensors) types.set(tensor.type, (types.get(tensor.type) ?? 0) + 1)
  const id = await base.id()
  const told: Record<string, [unknown, string]> = {
    architecture: [spec.architecture, 'what computes it'],
    parameters: [spec.parameters, 'numbers'],
    bytes: [spec.bytes, 'of weights, mapped from the file'],
    maxPositions: [spec.maxPositions, 'longest text, in tokens'],
    tensors: [[...types].map(([type, count]) => `${count} ${type}`).join(', '), 'how many, of which type'],
    linearLayers: [spec.linearLayers.length, 'layers that LoRA can target'],
    id: [id.id, 'as a plan names it'],
    sha256: [id.sha256, 'digest of the weights, whatever files they lie in'],
    tokenizerSha256: [id.tokenizerSha256, 'digest of tokenizer and chat template'],
  }
  for (const [name, value] of Object.entries(shape)) told[name] = [value, 'shape']
  const fields = Object.entries(told).map(([field, [value, meaning]]) => ({ field, value: String(value), meaning }))
  return {
    json: { path, kind: 'base', fields, linearLayers: spec.linearLayers },
    text: fieldLines(path, 'base', fields).join('\n'),
  }
}

function fieldLines(path: string, kind: string, fields: readonly Field[]): string[] {
  return [`${printable(path)}: ${kind}`, '', ...tellFields(fields)]
}

/** Field, value and meaning in columns; values from files are shown, not sent. */
export function tellFields(fields: readonly Field[]): string[] {
  const name = Math.min(48, Math.max(0, ...fields.map(({ field }) => field.length)))
  const value = Math.min(24, Math.max(0, ...fields.map((field) => field.value.length)))
  return fields.map((field) => printable(`${field.field.padEnd(name)}  ${field.value.padEnd(value)}  ${field.meaning}`))
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}
