import { describeClosing, type ReportData } from '../data.js'
import { escapeHtml } from '../escape.js'
import { definitions, section } from '../html.js'
import { formatBytes } from '../numbers.js'

/** What was agreed, the whole plan one click away. */
export function settingsSection(data: ReportData): string {
  const { plan } = data
  const { train, aggregate } = plan
  const lora = train.trainable
  const rows: [string, string][] = [
    ['plan', data.planSha256],
    ['base', `${plan.base.id}, weights ${plan.base.sha256.slice(0, 16)}…`],
    [
      'trains',
      lora.kind === 'lora'
        ? `LoRA rank ${lora.rank}, alpha ${lora.alpha}, ${Array.isArray(lora.targets) ? lora.targets.join(', ') : lora.targets}`
        : `every tensor (${lora.tensors.length})`,
    ],
    ['steps', `${train.batch * train.accumulate} examples each, ${train.optimizer}`],
    ['learning rate', `${train.learningRate}, ${train.schedule}, warm-up ${train.warmup}`],
    [
      'data',
      `template ${plan.data.template}, cut at ${plan.data.cutoff} tokens, loss on ${plan.data.lossOn}, ${plan.data.heldOut} held out`,
    ],
    [
      'aggregate',
      `${aggregate.method}, rank ${aggregate.rank}, weights ${typeof aggregate.weights === 'string' ? `by ${aggregate.weights}` : 'as given'}`,
    ],
    ...data.closings.map((closing): [string, string] => [`adapter of ${closing.arm}`, describeClosing(closing)]),
    ['shared', [lora.kind === 'lora' ? 'factors' : 'changes of all tensors', ...plan.share].join(', ')],
  ]
  const whole = JSON.stringify(plan, undefined, 2).split('\n').map(escapeHtml).join('\n')
  return section('Settings', [
    definitions(rows),
    `<details><summary>The whole plan</summary><pre tabindex="0">${whole}</pre></details>`,
  ])
}

export function environmentSection(environment: Readonly<Record<string, unknown>>): string {
  return section('Environment', [
    definitions(Object.entries(environment).map(([name, value]) => [name, valueText(name, value)])),
  ])
}

function valueText(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map(String).join(', ')
  if (name === 'memory' && typeof value === 'number') return formatBytes(value)
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)
}
