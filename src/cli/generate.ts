import type { Command } from 'commander'
import { loadAdapter } from '../adapter/folder.js'
import { OneroundError } from '../errors.js'
import { generate } from '../evaluate/generate.js'
import { openBase } from './base.js'
import { runJob } from './job.js'
import { type CommonFlags, count, number, whole, withCommon } from './options.js'
import type { Terminal } from './terminal.js'

interface Flags extends CommonFlags {
  base: string
  adapter?: string
  prompt: string
  maxTokens: number
  temperature: number
  topK: number
  topP: number
  minP: number
  seed: number
  stop?: string[]
  chat?: true
}

/** Longer ones fit no model. */
const mostPromptBytes = 2 ** 22

export function addGenerate(program: Command, terminal: Terminal): void {
  const command = program
    .command('generate')
    .description('text that follows a prompt, from a base or a base with an adapter, as it is made')
    .requiredOption('--base <path>', 'the base model: a Hugging Face folder or a .gguf file')
    .requiredOption('--prompt <text>', 'what comes before the text; - reads it from standard input')
    .option('--adapter <folder>', 'folder of an adapter, as aggregate or PEFT writes it')
    .option('--max-tokens <n>', 'most tokens that are made', count, 128)
    .option('--temperature <t>', '0: the most likely token each time; more: drawn, the higher the wilder', number, 0)
    .option('--top-k <k>', 'draw from the k most likely tokens; 0: from all', whole, 0)
    .option('--top-p <p>', 'draw from the most likely tokens that together have this probability', number, 1)
    .option('--min-p <p>', "draw from tokens with at least this share of the most likely one's probability", number, 0)
    .option('--seed <n>', 'the same seed draws the same text', whole, 0)
    .option('--stop <texts...>', 'the text ends before the first of these')
    .option('--chat', "the prompt is a user's message, in the words of the model's own chat template")
  withCommon(command, [
    'oneround generate --base models/base --adapter adapter --prompt Once --max-tokens 64',
    'oneround generate --base model.gguf --prompt Why? --chat --temperature 0.7 --top-p 0.9 --seed 1',
    'oneround generate --base model.gguf --prompt - --stop Question: --json',
  ]).action(async (flags: Flags) =>
    runJob(terminal, flags, async (job) => {
      const prompt = flags.prompt === '-' ? await standardInput() : flags.prompt
      await using base = await openBase(flags.base, job.options)
      const adapter = flags.adapter === undefined ? undefined : await loadAdapter(flags.adapter)
      const { maxTokens, temperature, topK, topP, minP, seed } = flags
      const sampling = { maxTokens, temperature, topK, topP, minP, seed, stop: flags.stop ?? [] }
      const chat = flags.chat === true ? [] : undefined
      const pieces = generate(base, prompt, { ...job.options, adapter, ...sampling, chat })
      const began = performance.now()
      let text = ''
      for (;;) {
        const { done, value } = await pieces.next()
        if (done) {
          const seconds = (performance.now() - began) / 1000
          // A person has read the text already; what is left to print is its last line end.
          return { json: { text, ...value, seconds }, text: '' }
        }
        text += value
        if (flags.json !== true) terminal.out(shown(value))
      }
    }),
  )
}

/** A model may have learned to write a terminal's commands: of control characters only line ends and tabs go through. */
function shown(piece: string): string {
  return piece.replace(/(?![\n\t])\p{Cc}/gu, '\ufffd')
}

async function standardInput(): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > mostPromptBytes) throw badInput(`more than ${mostPromptBytes} bytes`)
    parts.push(part)
  }
  try {
    // `echo` and editors end a text with a line end that is not meant
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts)).replace(/\r?\n$/, '')
  } catch (cause) {
    throw badInput('bytes that are not UTF-8', cause)
  }
}

function badInput(found: string, cause?: unknown): OneroundError {
  return new OneroundError('ARGUMENT', 'The prompt on standard input cannot be used.', {
    found,
    expected: `UTF-8 text of at most ${mostPromptBytes} bytes`,
    fix: 'Give a shorter text, saved as UTF-8.',
    cause,
  })
}
