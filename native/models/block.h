// One decoder block: x + o(attention(q, k, v)), then + down(active), each behind a norm. q, k and v lie side by side
// in one buffer [M, (H + 2 Hkv) D], whether one layer makes them or three; active is swiglu(gate, up) or gelu(up).
#pragma once

#include "models/cached_attention.h"
#include "models/linear_layer.h"
#include "models/norm.h"

namespace oneround {

struct BlockWeights {
  // `fused` is used instead of q, k, v where the architecture has one layer for all; gate is absent with GELU.
  LinearLayer q, k, v, fused, o, gate, up, down;
  Norm attention_norm, feed_norm;
  Norm q_norm, k_norm;  // over head_dim; weight null: none
  // Where products round their operands to bf16 anyway, what attention and feed-forward keep is kept so.
  bool exact_attention = false;  // of exact weights
  bool rounds_attended = false, rounds_feed = false;

  bool trains() const {
    return q.trains() || k.trains() || v.trains() || fused.trains() || o.trains() || gate.trains() || up.trains() ||
           down.trains() || attention_norm.trains() || feed_norm.trains() || q_norm.trains() || k_norm.trains();
  }
};

// The place of each layer's u in BlockActivations::lora_u.
enum LinearPlace { kQ, kK, kV, kFused, kO, kGate, kUp, kDown, kLinearPlaces };

// What the backward pass needs of one block. Norm outputs and the activation are computed again instead of kept.
struct BlockActivations {
  Matrix x;          // [M, hidden], the block's input
  Matrix projected;  // [M, qkv]: q, k, v before their norms; data null where there are none
  Matrix qkv;        // [M, qkv]: what attention reads
  Matrix attended;   // [M, H*D]
  Matrix log_sum;    // [M, H]
  Matrix middle;     // [M, hidden], after attention
  Matrix gate, up;   // [M, intermediate]; gate data null with GELU
  // Of the three above where they are kept rounded; the matrices then serve one block after another.
  uint16_t *attended16 = nullptr, *gate16 = nullptr, *up16 = nullptr;
  NormRows attention_rows, feed_rows;
  float* head_inv = nullptr;          // [(H + Hkv), M]: inverse RMS of each q and k head
  float* lora_u[kLinearPlaces] = {};  // [M, rank]
};

// Used by one block after another.
struct BlockScratch {
  Matrix normed;       // [M, hidden]
  Matrix d_normed;     // [M, hidden]
  Matrix active;       // [M, intermediate]
  Matrix d_active;     // [M, intermediate]
  Matrix d_attended;   // [M, H*D]
  Matrix d_qkv;        // [M, qkv]
  Matrix d_projected;  // [M, qkv]; data null without head norms
  LinearScratch linear;
};

struct BlockContext {
  const Backend* backend;
  const DecoderShape* shape;
  const float* cos;  // [positions, D/2]; null: no rotation
  const float* sin;
  Pass pass;
  CachePass* cache = nullptr;  // keys and values join it
};

void block_forward(const BlockContext& context, const BlockWeights& weights, const BlockActivations& kept,
                   const BlockScratch& scratch, const Matrix& y);

// d: the gradient of y on entry, of x on return (left as it is at the middle where `wants_input` is false).
// gate, up, and scratch are overwritten.
void block_backward(const BlockContext& context, const BlockWeights& weights, const BlockActivations& kept,
                    const BlockScratch& scratch, const Matrix& d, bool wants_input);

}  // namespace oneround
