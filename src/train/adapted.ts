import type { Adapter } from '../adapter/adapter.js'
import type { Model } from '../model/open.js'
import type { NativeSession, SessionOptions } from '../native/binding/session.js'
import { loadDense } from './dense.js'
import { type OpenOptions, openSession } from './session.js'
import { denseSlots, overlayOf } from './slots.js'

/**
 * A session that scores or generates with a base and an adapter: factors as an overlay, dense deltas added in f32 to
 * copies of their tensors. The adapter must have been checked against the base.
 */
export function openAdapted(
  base: Model,
  adapter: Adapter | undefined,
  options: Omit<SessionOptions, 'slots' | 'overlay' | 'training'>,
  o: OpenOptions = {},
): NativeSession {
  const dense = adapter?.dense ?? []
  const overlay = adapter === undefined ? [] : overlayOf(adapter)
  const session = openSession(base, { ...options, slots: denseSlots(dense), overlay, training: false }, o)
  if (dense.length > 0) loadDense(session, base, dense, dense)
  return session
}
