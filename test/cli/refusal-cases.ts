import { smallSettings as small } from './small-data.js'

/** A command line that must be refused. */
export interface RefusalCase {
  what: string
  words: string[]
  code: 1 | 2
  says: RegExp
  /** what must not have appeared */
  absent?: string
}

/** `at` names a file of the folder that the test has filled. */
export function refusalCases(at: (...parts: string[]) => string): RefusalCase[] {
  const train = (...more: string[]) => [
    'train',
    at('plan.json'),
    '--client',
    'north',
    '--data',
    at('clients', 'north.jsonl'),
    '--out',
    at('x.update.safetensors'),
    ...more,
  ]
  const simulate = (...more: string[]) => ['simulate', '--base', at('base'), '--data', at('clients'), ...small, ...more]
  return [
    {
      what: 'a margin where one seed gives no verdict',
      words: simulate('--margin', '0.05', '--out', at('no-verdict')),
      code: 2,
      says: /--margin without --seeds.*Add --seeds 3/,
      absent: 'no-verdict',
    },
    {
      what: 'a broken row, by file and line',
      words: ['evaluate', '--base', at('base'), '--data', at('bad.jsonl')],
      code: 1,
      says: /bad\.jsonl.*\b2\b.*expected/,
    },
    {
      what: 'a client that the plan does not know',
      words: [
        'train',
        at('plan.json'),
        '--client',
        'west',
        '--data',
        at('clients', 'north.jsonl'),
        '--base',
        at('base'),
        '--out',
        at('x.update.safetensors'),
      ],
      code: 1,
      says: /found west, expected north, south/,
      absent: 'x.update.safetensors',
    },
    {
      what: 'training without a base',
      words: train(),
      code: 2,
      says: /--base PATH/,
      absent: 'x.update.safetensors',
    },
    {
      what: 'a round that the plan does not have',
      words: train('--base', at('base'), '--round', '2'),
      code: 2,
      says: /found 2, expected 1 to 1/,
    },
    {
      what: 'a second round without its start',
      words: [
        'train',
        at('two.json'),
        '--client',
        'north',
        '--data',
        at('clients', 'north.jsonl'),
        '--base',
        at('base'),
        '--round',
        '2',
        '--out',
        at('x.update.safetensors'),
      ],
      code: 2,
      says: /--start/,
      absent: 'x.update.safetensors',
    },
    {
      what: 'more threads than there can be',
      words: train('--base', at('base'), '--threads', '5000'),
      code: 2,
      says: /found 5000, expected .*1024/,
    },
    {
      what: 'an update of another plan, by client and rule',
      words: ['inspect', at('north.update.safetensors'), '--plan', at('other.json')],
      code: 1,
      says: /client 'north'.*rule 'plan'/,
    },
    {
      what: 'the same in a sum, which is then not made',
      words: ['aggregate', at('other.json'), at('north.update.safetensors'), '--out', at('sum')],
      code: 1,
      says: /client 'north'.*rule 'plan'/,
      absent: 'sum',
    },
    {
      what: 'an update twice',
      words: [
        'aggregate',
        at('plan.json'),
        at('north.update.safetensors'),
        at('north.update.safetensors'),
        '--out',
        at('sum'),
      ],
      code: 1,
      says: /north/,
      absent: 'sum',
    },
    {
      what: 'an update that was cut short',
      words: ['aggregate', at('plan.json'), at('cut.update.safetensors'), '--out', at('sum')],
      code: 1,
      says: /cut\.update\.safetensors/,
      absent: 'sum',
    },
    {
      what: 'an update with NaN',
      words: ['aggregate', at('plan.json'), at('nan.update.safetensors'), '--out', at('sum')],
      code: 1,
      says: /rule 'finite'/,
      absent: 'sum',
    },
    {
      what: 'a method chosen before the last round',
      words: ['aggregate', at('two.json'), at('north.update.safetensors'), '--method', 'stack', '--out', at('sum')],
      code: 2,
      says: /only for the last round: found --method in round 1 of 2/,
      absent: 'sum',
    },
    {
      what: 'a state that is an update',
      words: ['aggregate', at('plan.json'), '--state', at('north.update.safetensors'), '--out', at('sum')],
      code: 1,
      says: /not a sound aggregation state/,
      absent: 'sum',
    },
    {
      what: 'nothing to aggregate',
      words: ['aggregate', at('plan.json'), '--out', at('sum')],
      code: 2,
      says: /no update files, expected .*--state/,
      absent: 'sum',
    },
    {
      what: 'states without a place to put them',
      words: ['aggregate', at('plan.json'), at('north.update.safetensors'), '--merge', 'x.state', '--out', at('sum')],
      code: 2,
      says: /--merge and --keep are about states/,
      absent: 'sum',
    },
    {
      what: 'a state between rounds',
      words: [
        'aggregate',
        at('two.json'),
        at('north.update.safetensors'),
        '--state',
        at('x.state'),
        '--out',
        at('sum'),
      ],
      code: 1,
      says: /state file is for the last round/,
      absent: 'x.state',
    },
    {
      what: 'a withdrawal from what is neither run nor state',
      words: ['withdraw', at('full'), '--client', 'north', '--plan', at('plan.json')],
      code: 1,
      says: /full/,
      absent: 'full/withdrawals',
    },
    {
      what: 'a state without its plan',
      words: ['withdraw', at('x.state'), '--client', 'north'],
      code: 2,
      says: /--plan FILE/,
    },
    {
      what: 'a plan where an update is judged',
      words: ['inspect', at('plan.json'), '--plan', at('plan.json')],
      code: 2,
      says: /judges updates only/,
    },
    {
      what: 'a method that is not built, by name',
      words: ['plan', '--base', at('base'), '--clients', 'a', '--method', 'fisher', '--out', at('x.json')],
      code: 1,
      says: /not built yet: 'fisher'/,
      absent: 'x.json',
    },
    {
      what: 'arithmetic that nobody has',
      words: ['plan', '--base', at('base'), '--clients', 'a', '--compute', 'int4', '--out', at('x.json')],
      code: 1,
      says: /one of: auto, f32, bf16/,
      absent: 'x.json',
    },
    {
      what: 'a config that is not an object',
      words: ['plan', '--base', at('base'), '--clients', 'a', '--config', at('list.json'), '--out', at('x.json')],
      code: 1,
      says: /found a list/,
      absent: 'x.json',
    },
    {
      what: 'a config that is not JSON',
      words: ['plan', '--base', at('base'), '--clients', 'a', '--config', at('half.json'), '--out', at('x.json')],
      code: 1,
      says: /half\.json/,
      absent: 'x.json',
    },
    {
      what: 'a config with an unknown option',
      words: ['plan', '--base', at('base'), '--config', at('unknown.json'), '--out', at('x.json')],
      code: 2,
      says: /learningrate/,
      absent: 'x.json',
    },
    {
      what: 'an arm that there is not',
      words: simulate('--compare', 'base,best', '--out', at('run')),
      code: 2,
      says: /'best'.*1x3/,
      absent: 'run',
    },
    {
      what: 'a split that is not built',
      words: simulate('--split', 'sorted:label', '--out', at('run')),
      code: 1,
      says: /sorted:label/,
      absent: 'run',
    },
    {
      what: 'one file and no split',
      words: ['simulate', '--base', at('base'), '--data', at('clients', 'north.jsonl'), '--out', at('run')],
      code: 2,
      says: /--split iid/,
      absent: 'run',
    },
    {
      what: 'clients that the data does not hold',
      words: simulate('--clients', 'north,west', '--out', at('run')),
      code: 1,
      says: /found north, south, expected north, west/,
      absent: 'run',
    },
    {
      what: "a folder with somebody's files in it",
      words: simulate('--compare', '1x1', '--out', at('full')),
      code: 1,
      says: /not a run folder.*diary\.txt/,
      absent: 'full/plan.json',
    },
    {
      what: 'a report of what is no run',
      words: ['report', at('full')],
      code: 1,
      says: /not a run folder/,
      absent: 'full/report.html',
    },
  ]
}
