import { OneroundError } from '../errors.js'
import type { MemoryBudget, SessionOptions } from '../native/binding/session.js'
import { native } from '../native/load.js'

/** Peak of a job's own memory, in bytes. The base's weights are mapped from its files and can be paged out: not counted. */
export interface MemoryNotice extends MemoryBudget {
  /** bytes that this process may still take: the least of MemAvailable and the cgroup's rest */
  available: number
  /** sessions that are held at once; `total` is already for all of them */
  sessions: number
  /** blocks are computed again on the way back: as asked, or because nothing else fits */
  recompute: boolean
}

/** Bytes as a person reads them. */
function formatBytes(bytes: number): string {
  if (bytes < 1024 ** 2) return `${(bytes / 1024).toFixed(0)} KiB`
  if (bytes < 1024 ** 3) return `${(bytes / 1024 ** 2).toFixed(1)} MiB`
  return `${(bytes / 1024 ** 3).toFixed(2)} GiB`
}

/** One sentence for a person, before anything is allocated. */
export function describeMemory(notice: MemoryNotice): string {
  const each = `parameters ${formatBytes(notice.parameters)}, gradients ${formatBytes(notice.gradients)}, optimizer ${formatBytes(notice.optimizer)}, activations ${formatBytes(notice.activations)}, scratch ${formatBytes(notice.scratch)}`
  const times = notice.sessions > 1 ? ` (${notice.sessions} at once, each ${each})` : ` (${each})`
  const again = notice.recompute ? ' Blocks are computed again on the way back (recompute), which takes less.' : ''
  return `Peak ${formatBytes(notice.total)}${times}; ${formatBytes(notice.available)} available.${again}`
}

/** Names what weighs most and can be lowered. */
function whatToLower(budget: MemoryBudget, sessions: number): string {
  const fixed = budget.parameters + budget.gradients + budget.optimizer
  const parts: string[] = []
  if (sessions > 1) parts.push('the concurrency')
  if (budget.activations + budget.scratch >= fixed)
    parts.push('data.cutoff (activations grow with the longest example)', 'train.trainable.targets')
  else parts.push('train.trainable.rank', 'train.trainable.targets')
  return `Lower ${parts.join(' or ')}, train with recompute (--recompute), or free memory on this machine.`
}

/**
 * Refuses with code MEMORY what would not fit, before anything is allocated.
 * `available` is a parameter so that a test can shrink the machine.
 */
export function checkMemory(
  budget: MemoryBudget,
  sessions = 1,
  available = native().cpu().memoryAvailable,
): MemoryNotice {
  const total = budget.total * sessions
  if (total > available) {
    throw new OneroundError(
      'MEMORY',
      `This needs ${formatBytes(total)} of memory and ${formatBytes(available)} is available.`,
      {
        found: `${total} bytes needed`,
        expected: `at most ${available} bytes`,
        fix: whatToLower(budget, sessions),
      },
    )
  }
  return { ...budget, total, available, sessions, recompute: false }
}

/**
 * The options that fit: where nobody has said whether to recompute and a training fits only with it, it is chosen. The
 * result has the same bits either way.
 */
export function fitMemory(
  options: SessionOptions,
  budgetOf: (options: SessionOptions) => MemoryBudget,
  sessions = 1,
  available = native().cpu().memoryAvailable,
): { options: SessionOptions; notice: MemoryNotice } {
  const budget = budgetOf(options)
  if (options.training && options.recompute === undefined && budget.total * sessions > available) {
    const smaller = { ...options, recompute: true }
    const again = budgetOf(smaller)
    if (again.total * sessions <= available)
      return { options: smaller, notice: { ...checkMemory(again, sessions, available), recompute: true } }
  }
  const notice = checkMemory(budget, sessions, available)
  return { options, notice: { ...notice, recompute: options.recompute === true } }
}
