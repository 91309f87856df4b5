import type { Command } from 'commander'
import { type Conversion, convert, TARGETS, type Target } from '../adapter/convert.js'
import { percent } from '../adapter/survival.js'
import { OUTPUT_TYPES, type OutputType } from '../model/output.js'
import { printable } from '../report/escape.js'
import { formatBytes } from '../report/numbers.js'
import { Clock } from '../train/job.js'
import { openBase } from './base.js'
import { runJob } from './job.js'
import { type CommonFlags, choice, withCommon } from './options.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags {
  to: Target
  base?: string
  merge?: true
  adapterApart?: true
  type?: OutputType
  lossy?: true
  out: string
}

export function addConvert(program: Command, terminal: Terminal): void {
  const command = program
    .command('convert')
    .description('an adapter or a model in another form: for PEFT, llama.cpp, MLX, transformers or onnxruntime')
    .argument('<in>', 'a PEFT, MLX or oneround adapter folder, a GGUF file, or a Hugging Face model folder')
    .requiredOption('--to <form>', `the form: ${TARGETS.join(', ')}`, choice(...TARGETS))
    .option('--base <path>', 'the model that the adapter belongs to; for GGUF, ONNX and --merge')
    .option('--merge', 'base and adapter as one model (hf, gguf; onnx does so anyway)')
    .option(
      '--adapter-apart',
      'onnx: the adapter is an input of the graph, which then serves any adapter of its layers',
    )
    .option(
      '--type <type>',
      `what weights are stored as: ${OUTPUT_TYPES.join(', ')} (default: F32)`,
      choice(...OUTPUT_TYPES),
    )
    .option('--lossy', 'write even where more than a tenth of what the adapter changes is lost')
    .requiredOption('--out <path>', 'a folder; a file for gguf')
  withCommon(command, [
    'oneround convert adapter --to gguf --base models/base --out adapter.gguf',
    'oneround convert adapter --to mlx --out adapter-mlx',
    'oneround convert adapter --to hf --base models/base --merge --type F16 --out merged',
    'oneround convert adapter.gguf --to peft --base base.gguf --out adapter',
    'oneround convert base.gguf --to hf --out base',
    'oneround convert adapter --to onnx --base models/base --adapter-apart --out graph',
  ]).action(async (source: string, flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      await using base = flags.base === undefined ? undefined : await openBase(flags.base, job.options)
      const clock = new Clock()
      const { signal, threads, onProgress } = job.options
      const result = await convert(source, {
        to: flags.to,
        out: flags.out,
        base,
        merge: flags.merge,
        adapterApart: flags.adapterApart,
        type: flags.type,
        lossy: flags.lossy,
        signal,
        threads,
        onProgress: ({ done, total }) =>
          onProgress({ phase: 'write', done, total, secondsLeft: clock.secondsLeft(done, total) }),
      })
      return { json: result, text: text(result, flags.out) }
    }),
  )
}

function text({ from, to, layers, bytes, survival, notes }: Conversion, out: string): string {
  const what = layers === undefined ? `a model of ${formatBytes(bytes ?? 0)}` : `an adapter of ${layers} layers`
  const lines = [`${from} -> ${to}: ${what} written to ${printable(out)}`]
  if (survival?.share !== undefined) {
    lines.push(
      `${percent(survival.share)} of what the adapter changes survives rounding (least: ${survival.worst?.tensor}, ${percent(survival.worst?.share ?? 0)})`,
    )
  }
  if (survival !== undefined && survival.baseError > 0) {
    lines.push(`the base's other weights were rounded by ${survival.baseError.toExponential(1)} of themselves`)
  }
  return [...lines, ...notes.map(printable)].join('\n')
}
