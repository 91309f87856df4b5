/** One thing that trains. Its place in the flat parameter buffer follows the order of the list. */
export type Slot = SlotKind & {
  /** decay of this slot alone; absent: the step's, and none where the tensor is a vector */
  weightDecay?: number
}

type SlotKind =
  /** A [rank, in] then B [out, rank], row-major; y += scale * B A dropout(x). `layer` has no `.weight` suffix. */
  | { kind: 'lora'; layer: string; rank: number; scale: number; dropout: number }
  /** B [out, rank] alone, behind a frozen A [rank, in] */
  | { kind: 'lora_B'; layer: string; rank: number; scale: number; dropout: number; a: Float32Array }
  /** R [rank, rank] between frozen B [out, rank] and A [rank, in]; y += scale * B R A dropout(x) */
  | { kind: 'core'; layer: string; rank: number; scale: number; dropout: number; a: Float32Array; b: Float32Array }
  /** the whole tensor, row-major f32, initialised from the base by `Session.loadBase()` */
  | { kind: 'dense'; tensor: string }
