import type { CoordinateBinding } from './coordinates.js'
import type { FactorBinding } from './factors.js'
import type { FileMeanBinding } from './file-mean.js'
import type { GridBinding } from './grid.js'
import type { MergeBinding } from './merge.js'
import type { PeakBinding } from './peak.js'
import type { ProbeBinding } from './probe.js'
import type { SessionBinding } from './session.js'
import type { SystemBinding } from './system.js'
import type { WeightsBinding } from './weights.js'

/**
 * The whole native surface, typed: what the addon exports. Nothing else in src/ knows that there is an addon.
 * Arguments are checked by the callers; the addon still bounds-checks everything that comes from a file.
 * Every failure of the addon is an Error whose `code` is an ErrorCode of errors.ts.
 */
export interface NativeBinding
  extends SystemBinding,
    WeightsBinding,
    SessionBinding,
    ProbeBinding,
    FactorBinding,
    GridBinding,
    CoordinateBinding,
    FileMeanBinding,
    MergeBinding,
    PeakBinding {}
