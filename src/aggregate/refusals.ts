import { OneroundError } from '../errors.js'

export function noSuchClient(client: string, known: Iterable<string>): OneroundError {
  return new OneroundError('NOT_FOUND', `There is no update of client '${client}' to remove.`, {
    found: [...known].sort().join(', ') || 'no updates',
    fix: 'Name one of the clients that have been added.',
  })
}

export function nothingToSum(): OneroundError {
  return new OneroundError('ARGUMENT', 'There is nothing to aggregate.', {
    found: 'no updates',
    expected: 'at least one',
    fix: 'Add the update files of the round first.',
  })
}
