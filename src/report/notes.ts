import { type Arm, LEAK, shapeOf } from '../federation/arms.js'
import type { Plan } from '../update/plan.js'

/** What a reader has to know before believing the numbers. Only what this run's plan and arms make true. */
export function notesOf(plan: Plan, arms: readonly Arm[]): string[] {
  const names = new Set(arms.map((arm) => arm.name))
  const leaked = arms.filter((arm) => arm.ablation === LEAK).map((arm) => arm.name)
  const several = arms.some((arm) => (shapeOf(arm.name)?.rounds ?? 1) > 1)
  const notes = [
    'An arm RxE is R rounds of E local epochs. Arms at equal horizon (1xE, Ex1, pooled for E epochs) read the same examples equally often, in the same order at each client; the learning-rate schedule spans the whole horizon in every arm, and the optimizer starts fresh in each round unless the plan lets clients keep it.',
  ]
  if (leaked.length > 0) {
    notes.push(
      `No federation: in ${leaked.join(' and ')} each client started where the one before it had ended, as public code that shares one model object does. What is averaged there is one trajectory through all clients' text; the arm is here to show what that flatters.`,
    )
  }
  if (several) {
    notes.push(
      `Rounds after the first start ${plan.start} unless their arm says otherwise. Carried: from the exact aggregate of the round before, whose best part at the plan's rank trains on while the rest stays frozen beside the base. Fresh: all of it is frozen and new factors begin with B = 0, which handicaps several rounds.`,
    )
  }
  if (names.has('client')) {
    notes.push(
      "A client's own adapter is judged twice: in the table of arms on everybody's held-out text, in the table of clients (alone) on its own.",
    )
  }
  if (names.has('pooled')) {
    notes.push(
      'Pooled training sees all text in one place. It is what a federation gives up, so it is a mark and not a rival. At the same batch it also takes as many optimizer steps as all clients together, where each client takes only its own: part of the gap is steps.',
    )
  }
  notes.push(
    `Losses are nats a token on the last ${Math.round(plan.data.heldOut * 100)} % of each client's examples, which nobody trained on. They depend on the tokenizer and do not compare across base models.`,
    'This is one seed. Gaps as small as those between seeds are no evidence; run other seeds before believing them.',
    'Bytes up are the update files of all clients and rounds; of pooled they are the text itself. Bytes down are the plan, the aggregate that starts each later round and the adapter at the end, over all clients.',
    'Time is this machine training all clients and aggregating, without judging; a federation would train its clients side by side and wait for its network.',
    "An update is not anonymous: text may be inferred from a client's factors. Nothing here hides them.",
  )
  return notes
}
