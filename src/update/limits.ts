/** The largest things that a plan or an update may say. They come before any allocation. */
export const LIMITS = {
  planBytes: 16 * 2 ** 20,
  receiptBytes: 16 * 2 ** 20,
  layers: 10_000,
  layerName: 200,
  /** in or out of one layer */
  dimension: 2 ** 24,
  rank: 4096,
  /** bytes of an update file: what one Buffer of Node 20 surely holds */
  updateBytes: 2 ** 31 - 1,
  updateHeaderBytes: 8 * 2 ** 20,
  clients: 100_000,
  /** example and token counts that a client may state */
  count: 1e12,
  rounds: 10_000,
} as const
