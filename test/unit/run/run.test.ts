import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir, hostname, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { writeAtomic, writeSealed } from '../../../src/run/atomic.js'
import { environment } from '../../../src/run/environment.js'
import { isRunFolder, openRun, readRun } from '../../../src/run/folder.js'
import { openMetrics, readMetrics } from '../../../src/run/metrics.js'

const made: string[] = []
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'run-'))
  made.push(folder)
})
afterAll(() => Promise.all(made.map((path) => rm(path, { recursive: true }))))

describe('atomic writes', () => {
  it('replaces a file, makes folders and leaves nothing else', async () => {
    const file = join(folder, 'a', 'b.txt')
    await writeAtomic(file, 'one')
    await writeAtomic(file, new Uint8Array([50]))
    expect(await readFile(file, 'utf8')).toBe('2')
    expect(await readdir(join(folder, 'a'))).toEqual(['b.txt'])
  })

  it('keeps the old file and cleans up where it fails', async () => {
    await writeAtomic(join(folder, 'taken', 'x'), 'x')
    await expect(writeAtomic(join(folder, 'taken'), 'y')).rejects.toMatchObject({ code: 'IO' })
    expect(await readdir(folder)).toEqual(['taken'])
    await expect(
      writeSealed(folder, [
        ['fine', '1'],
        ['taken', '2'],
      ]),
    ).rejects.toMatchObject({ code: 'IO' })
    expect(await readdir(folder)).toEqual(['taken'])
  })
})

describe('metrics', () => {
  it('keeps order, tolerates a torn last line and cuts it off before appending', async () => {
    const file = join(folder, 'metrics.jsonl')
    expect(await readMetrics(file)).toEqual({ events: [], torn: false })
    const first = await openMetrics(file)
    await Promise.all(Array.from({ length: 50 }, (_, step) => first.append({ event: 'step', step })))
    await first.close()
    await first.close()
    await expect(first.append({ event: 'late' })).rejects.toMatchObject({ code: 'CLOSED' })
    await appendFile(file, '{"event":"st\u00e9')
    expect((await readMetrics(file)).torn).toBe(true)
    const second = await openMetrics(file)
    await second.append({ event: 'end', time: 'given' })
    await second.close()
    const { events, torn } = await readMetrics(file)
    expect(torn).toBe(false)
    expect(events.slice(0, 50).map((event) => event.step)).toEqual(Array.from({ length: 50 }, (_, i) => i))
    expect(events[50]).toEqual({ event: 'end', time: 'given' })
  })

  it('names the line that is not an event', async () => {
    const file = join(folder, 'metrics.jsonl')
    await writeFile(file, '{"event":"a"}\n[]\n{"event":"b"}\n')
    await expect(readMetrics(file)).rejects.toThrow('Line 2')
  })
})

describe('run folder', () => {
  const plan = '{"plan":1}\n'

  it('knows after a restart what is finished, by digest', async () => {
    const path = join(folder, 'run')
    const run = await openRun(path, { plan })
    const files = ['a', 'b', 'c'].map((client) => run.updateFile('1x3', 1, client))
    await Promise.all(files.map((file) => writeAtomic(file, file)))
    await Promise.all(files.slice(0, 2).map((file) => run.finish(file)))
    await run.setResult('arm/1x3', { loss: 2.5 })
    await run.metrics.append({ event: 'arm' })
    await run.close()

    const again = await openRun(path, { plan, resume: true })
    expect(again.resumed).toBe(true)
    expect(await Promise.all(files.map((file) => again.finished(file)))).toEqual([true, true, false])
    expect(await again.finished(...files.slice(0, 2))).toBe(true)
    expect(again.result('arm/1x3')).toEqual({ loss: 2.5 })
    expect(again.result('constructor')).toBeUndefined()
    await writeFile(files[0] ?? '', 'changed')
    expect(await again.finished(files[0] ?? '')).toBe(false)
    await again.close()
    expect(await isRunFolder(path)).toBe(true)
    expect((await readRun(path)).plan).toBe(plan)
  })

  it('never overwrites another run or other files', async () => {
    const path = join(folder, 'run')
    await (await openRun(path, { plan })).close()
    await expect(openRun(path, { plan })).rejects.toMatchObject({ code: 'REFUSED' })
    await expect(openRun(path, { plan: '{}', resume: true })).rejects.toMatchObject({ code: 'MISMATCH' })
    await writeFile(join(folder, 'other.txt'), '')
    await expect(openRun(folder, { plan, resume: true })).rejects.toMatchObject({ code: 'REFUSED' })
    await expect(readRun(folder)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await writeFile(join(path, 'state.json'), '{"version":1')
    await expect(openRun(path, { plan, resume: true })).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  it('keeps names inside the folder', async () => {
    const run = await openRun(join(folder, 'run'), { plan })
    expect(() => run.updateFile('..', 1, 'a')).toThrow('file name')
    expect(() => run.updateFile('1x1', 1, 'a/b')).toThrow('file name')
    await expect(run.finish(join(folder, 'outside'))).rejects.toThrow()
    await expect(run.finish(run.updateFile('1x1', 1, 'absent'))).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await run.close()
  })
})

it('describes the environment without names or paths', () => {
  const text = JSON.stringify(
    environment({
      threads: 2,
      cpu: { isa: 'avx2', available: ['scalar', 'avx2'], bf16: false, cores: 2, memoryAvailable: 1 },
    }),
  )
  expect(JSON.parse(text)).toMatchObject({ isa: 'avx2', threads: 2, node: process.versions.node })
  for (const secret of [hostname(), homedir(), userInfo().homedir, process.cwd()])
    expect(text).not.toContain(`"${secret}`)
  expect(Object.keys(JSON.parse(text))).not.toContain('user')
})
