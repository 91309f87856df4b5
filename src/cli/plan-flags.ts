import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { OneroundError } from '../errors.js'
import type { PlanOptions } from '../update/create-plan.js'
import { STRATEGY_NAMES } from '../update/strategy-schema.js'
import { autoOrCount, choice, count, epochOrCount, list, listOf, number, pairs, weights, whole } from './options.js'

/** The plan's fields as flags, named as createPlan's options. What is not given is left to createPlan's defaults. */
export interface PlanFlags extends PlanOptions {
  /** file with more of the same options */
  config?: string
}

/** Flags of a plan that are its fields; what createPlan is given is picked by these names. */
const fields = [
  'clients',
  'trainable',
  'rank',
  'alpha',
  'targets',
  'rankPattern',
  'alphaPattern',
  'rsLora',
  'dropout',
  'initA',
  'epochs',
  'rounds',
  'start',
  'strategy',
  'serverLearningRate',
  'serverMomentum',
  'beta1',
  'beta2',
  'tau',
  'mu',
  'buffer',
  'stalenessExponent',
  'fraction',
  'minimumClients',
  'batch',
  'accumulate',
  'learningRate',
  'optimizer',
  'momentum',
  'nesterov',
  'optimizerState',
  'schedule',
  'warmup',
  'weightDecay',
  'weightDecayPattern',
  'clipNorm',
  'seed',
  'compute',
  'evaluateEvery',
  'patience',
  'template',
  'cutoff',
  'lossOn',
  'heldOut',
  'method',
  'aggregateRank',
  'weights',
  'share',
] as const satisfies readonly (keyof PlanOptions)[]

export function withDataFlags(command: Command): Command {
  return command
    .option(
      '--template <name>',
      'how a row becomes text: text, prompt-completion, alpaca, chat, or a pattern such as "Q: {question} A: {answer}"',
    )
    .option('--cutoff <n>', 'tokens of an example before it is cut', count)
    .option('--loss-on <part>', 'where a loss is taken: all, completion', choice('all', 'completion'))
}

/** How a client's files are to be read, which is nobody's agreement. */
export function withFileFlags(command: Command): Command {
  return command.option(
    '--columns <list>',
    'names of the columns of CSV or TSV files without a first line of names',
    list,
  )
}

/**
 * Optimizer, start, compute and method take any word here: the plan itself refuses what is not built by name, and
 * tells it from nonsense.
 */
export function withPlanFlags(command: Command): Command {
  return withStrategyFlags(withDataFlags(command))
    .option('--config <file>', "JSON object with the plan's options, named as here in camelCase; flags win over it")
    .option(
      '--trainable <kind>',
      'what trains and travels: lora (factors), ffa (B only), fed-sb (a core), full (every tensor)',
    )
    .option('--rank <n>', 'LoRA rank', count)
    .option('--alpha <x>', 'LoRA alpha; the scale is alpha / rank (default: twice the rank)', number)
    .option('--targets <list>', 'all-linear, or names such as q_proj,v_proj', (text) =>
      text === 'all-linear' ? text : list(text),
    )
    .option('--rank-pattern <list>', 'ranks of single layers, such as q_proj=16', pairs)
    .option('--alpha-pattern <list>', 'alphas of single layers', pairs)
    .option('--rs-lora', 'scale by alpha / sqrt(rank)')
    .option('--dropout <x>', 'dropout before the factors, 0 to below 1', number)
    .option('--init-a <kind>', 'how A starts: kaiming, gaussian', choice('kaiming', 'gaussian'))
    .option('--epochs <x>', 'local epochs a round; a fraction for rounds shorter than an epoch', number)
    .option('--rounds <n>', 'communication rounds', count)
    .option('--start <kind>', 'how a later round starts at the aggregate: carried, fresh (new factors, B = 0)')
    .option('--batch <n>', 'examples a pass', count)
    .option('--accumulate <n>', 'passes an optimizer step', count)
    .option('--learning-rate <x>', 'peak learning rate', number)
    .option('--optimizer <name>', 'adamw, sgd')
    .option('--momentum <x>', 'of sgd, 0 to below 1', number)
    .option('--nesterov', "sgd's momentum in Nesterov's form")
    .option(
      '--optimizer-state <kind>',
      'its moments in a later round: reset, kept (by the client)',
      choice('reset', 'kept'),
    )
    .option('--schedule <name>', 'constant, linear, cosine', choice('constant', 'linear', 'cosine'))
    .option('--warmup <x>', 'part of all steps that warms up, 0 to 1', number)
    .option('--weight-decay <x>', 'decoupled weight decay; vectors such as norms and biases have none', number)
    .option('--weight-decay-pattern <list>', 'decay of single layers or tensors, such as embed_tokens.weight=0', pairs)
    .option('--clip-norm <x>', 'largest gradient norm; 0 clips nothing', number)
    .option('--seed <n>', 'seed of every random choice', whole)
    .option('--compute <type>', 'auto (bf16 where the processor has it), f32, bf16')
    .option(
      '--evaluate-every <n>',
      "look at the client's held-out loss every n steps, or every epoch: epoch",
      epochOrCount,
    )
    .option('--patience <n>', 'stop after n such looks without a new best loss; the best parameters are sent', count)
    .option('--held-out <x>', "part of each client's examples that is kept for judging, 0 to below 1", number)
    .option(
      '--method <name>',
      'updates to adapter: svd, stack, fedit, residual, ties, .. (oneround aggregate --help lists all); of other kinds than lora: fedavg, ffa, fed-sb',
    )
    .option('--aggregate-rank <n>', 'rank of the aggregate: auto or a number', autoOrCount)
    .option('--weights <rule>', 'examples, tokens, uniform, or a=0.3,b=0.7', weights)
    .option('--share <list>', 'what an update may tell: examples, tokens, losses, or none', (text) =>
      text === 'none' ? [] : listOf('examples', 'tokens', 'losses')(text),
    )
}

/** The server's rule between rounds, and who takes part. A number that the rule does not take is refused. */
function withStrategyFlags(command: Command): Command {
  return command
    .option(
      '--strategy <name>',
      `the server's rule between rounds: ${STRATEGY_NAMES.join(', ')}`,
      choice(...STRATEGY_NAMES),
    )
    .option('--server-learning-rate <x>', "share of the clients' mean step that the server takes", number)
    .option('--server-momentum <x>', 'of fedavgm and diloco', number)
    .option('--beta1 <x>', "the adaptive strategies' first decay", number)
    .option('--beta2 <x>', "fedadam's and fedyogi's second decay", number)
    .option('--tau <x>', "the adaptive strategies' floor under the divisor", number)
    .option('--mu <x>', "fedprox's pull towards the round's start", number)
    .option('--buffer <n>', 'updates that make one step of fedbuff', count)
    .option('--staleness-exponent <x>', 'how fast fedbuff discounts old updates', number)
    .option('--fraction <x>', 'part of the clients that each round asks', number)
    .option('--minimum-clients <n>', 'updates without which a round is not closed', count)
}

/** Flags over the config file; createPlan checks every one of them. */
export async function planOptions(flags: PlanFlags): Promise<PlanOptions> {
  const config = flags.config === undefined ? {} : await readConfig(flags.config)
  const given = fields.filter((name) => flags[name] !== undefined).map((name) => [name, flags[name]])
  return { ...config, ...Object.fromEntries(given) }
}

/** The plan flags that were given beside a plan file, where they mean nothing. */
export function refuseBesidePlan(flags: PlanFlags): void {
  const extra = [...fields, 'config' as const].find((name) => flags[name] !== undefined)
  if (extra === undefined) return
  const flag = `--${extra.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  throw new OneroundError('ARGUMENT', 'A plan file says everything that is agreed, so a flag cannot change it', {
    found: `a plan file and ${flag}`,
    expected: 'one of them',
    fix: `Leave ${flag} out, or leave the plan out and give --base with the plan's flags.`,
  })
}

/** The longest config file; options are a kilobyte, so anything longer is another file. */
const configLimit = 1 << 20

async function readConfig(file: string): Promise<object> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new OneroundError('NOT_FOUND', `The config file '${file}' cannot be read`, {
      expected: "a JSON file with the plan's options",
      fix: 'Check the path behind --config.',
      cause,
    })
  })
  const malformed = (found: string, cause?: unknown) =>
    new OneroundError('MALFORMED', `The config file '${file}' does not hold the plan's options`, {
      found,
      expected: 'one JSON object such as {"rank": 8, "epochs": 3}',
      fix: 'Correct the file; its keys are the flags of oneround plan in camelCase.',
      cause,
    })
  if (text.length > configLimit) throw malformed(`${text.length} characters`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw malformed(cause instanceof Error ? cause.message : 'no JSON', cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed(Array.isArray(value) ? 'a list' : `a ${typeof value}`)
  }
  return value
}
