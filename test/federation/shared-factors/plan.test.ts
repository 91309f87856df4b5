/** What ffa and fed-sb send, how they train, and what cannot be planned with them. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseSafetensors } from '../../../src/model/safetensors.js'
import type { PlanOptions } from '../../../src/update/create-plan.js'
import { describeLeaving } from '../../../src/update/describe.js'
import { parsePlan, planText } from '../../../src/update/plan.js'
import { parseUpdate, serializeUpdate } from '../../../src/update/update.js'
import { bits } from '../tiny.js'
import { ending, kinds, optionsOf, sharedPlans } from './shared-plans.js'

const shared = sharedPlans()

describe.each(kinds)('a plan of %s', (kind) => {
  it('says what leaves, which is far less than both factors', async () => {
    const plan = shared.plans[kind]
    expect(plan.aggregate.method).toBe(kind)
    expect(parsePlan(planText(plan))).toEqual(plan)
    const sent = await shared.update('north', plan)
    const count = plan.layers.reduce((sum, { out, rank }) => sum + rank * (kind === 'ffa' ? out : rank), 0)
    const leaves = describeLeaving(plan, { info: sent.info })
    expect(leaves.find(({ field }) => field === '(size)')!.value).toBe(String(4 * count))
    const bytes = serializeUpdate(sent)
    const { tensors, metadata } = parseSafetensors(bytes, 'update')
    expect([...tensors.keys()].sort()).toEqual(plan.layers.map(({ name }) => `${name}${ending[kind]}`).sort())
    expect([...tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0)).toBe(4 * count)
    const told = leaves.map(({ field }) => field)
    expect(told).toEqual(expect.arrayContaining([...tensors.keys(), ...Object.keys(metadata)]))
    expect(told).toHaveLength(tensors.size + Object.keys(metadata).length + 1)
    const back = parseUpdate(bytes, plan)
    expect(bits(back.adapter)).toEqual(bits(sent.adapter))
    expect(back.cores).toEqual(sent.cores)
    expect(serializeUpdate(back)).toEqual(bytes)
  })

  it('trains with the same bits whatever the threads, and again from a checkpoint', async () => {
    const plan = shared.plans[kind]
    const whole = serializeUpdate(await shared.update('south', plan, { threads: 1 }))
    const checkpoint = join(shared.tiny.folder, `${kind}.checkpoint`)
    const controller = new AbortController()
    const onStep = ({ step }: { step: number }) => void (step === 2 && controller.abort())
    const stopped = shared.update('south', plan, { threads: 2, checkpoint, signal: controller.signal, onStep })
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' })
    expect(serializeUpdate(await shared.update('south', plan, { threads: 2, checkpoint, resume: true }))).toEqual(whole)
  })

  it.each<[string, PlanOptions, string]>([
    ['the mean of whole tensors', { method: 'fedavg' }, 'MALFORMED'],
    ['the method of the other kind', { method: kind === 'ffa' ? 'fed-sb' : 'ffa' }, 'MALFORMED'],
    ['a rank of its own method', { aggregateRank: 2 }, 'MALFORMED'],
    ['a fresh start', { start: 'fresh', rounds: 2 }, 'MALFORMED'],
    ["a server's own step", { strategy: 'fedadam', rounds: 2 }, 'MALFORMED'],
    ['a part of the mean step', { strategy: 'fedavg', serverLearningRate: 0.5, rounds: 2 }, 'MALFORMED'],
    ['visits at any time', { strategy: 'fedbuff', rounds: 2 }, 'MALFORMED'],
    ['a running mean', { strategy: 'running-mean', method: 'svd' }, 'MALFORMED'],
    [
      'control variates',
      { strategy: 'scaffold', rounds: 2, optimizer: 'sgd', clipNorm: 0, weightDecay: 0 },
      'MALFORMED',
    ],
    ['a rank wider than a layer', { rank: 200 }, 'ARGUMENT'],
    ...(kind === 'ffa' ? [] : ([['a random A', { initA: 'gaussian' }, 'ARGUMENT']] as [string, PlanOptions, string][])),
  ])('refuses %s', async (_name, o, code) => {
    await expect(shared.tiny.planOf({ ...optionsOf(kind), ...o })).rejects.toMatchObject({ code })
  })
})
