/**
 * What clients may measure beside their update, for methods that weigh by it. It never travels inside an update file:
 * the kind `statistic` is reserved for it. `measureFisher` makes that of fisher; nothing makes that of regmean yet.
 */

/** Of one client and layer. */
export interface LayerStatistic {
  /** fisher: mean squared gradient of the loss for each number of A, [rank, in]; not negative */
  fisherA?: Float32Array
  /** fisher: the same for B, [out, rank] */
  fisherB?: Float32Array
  /** regmean: X'X over the rows X that the layer saw, [in, in], symmetric */
  inputs?: Float32Array
}

/** client -> layer -> statistic */
export type ClientStatistics = Readonly<Record<string, Readonly<Record<string, LayerStatistic>>>>
