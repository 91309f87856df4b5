// One decoder block: x + o(attention(rope(q, k), v)), then + down(swiglu(gate, up)), each behind an RMSNorm.
#pragma once

#include "models/linear_layer.h"

namespace oneround {

struct BlockWeights {
  LinearLayer q, k, v, o, gate, up, down;
  const float* input_norm = nullptr;  // [hidden]
  const float* post_norm = nullptr;
  float* d_input_norm = nullptr;  // null: frozen
  float* d_post_norm = nullptr;

  bool trains() const {
    return q.trains() || k.trains() || v.trains() || o.trains() || gate.trains() || up.trains() || down.trains() ||
           d_input_norm != nullptr || d_post_norm != nullptr;
  }
};

// What the backward pass needs of one block. Norm outputs and swiglu are computed again instead of kept.
struct BlockActivations {
  Matrix x;                      // [M, hidden], the block's input
  Matrix q, k, v, attended;      // after rope; [M, H*D], [M, Hkv*D]
  Matrix log_sum;                // [M, H]
  Matrix middle;                 // [M, hidden], after attention
  Matrix gate, up;               // [M, intermediate]
  float* inv_rms1 = nullptr;     // [M]
  float* inv_rms2 = nullptr;
  float* lora_u[7] = {};         // q k v o gate up down: [M, rank]
};

// Used by one block after another.
struct BlockScratch {
  Matrix normed;     // [M, hidden]
  Matrix d_normed;   // [M, hidden]
  Matrix active;     // [M, intermediate]
  Matrix d_active;   // [M, intermediate]
  Matrix d_attended; // [M, H*D]
  Matrix d_q, d_k, d_v;
  LinearScratch linear;
};

struct BlockContext {
  const Backend* backend;
  const DecoderShape* shape;
  const float* cos;  // [positions, D/2]
  const float* sin;
  Segments segments;
  const uint32_t* dropout_seed;  // null: no dropout
};

void block_forward(const BlockContext& context, const BlockWeights& weights, const BlockActivations& kept,
                   const BlockScratch& scratch, const Matrix& y);

// d: the gradient of y on entry, of x on return (left as it is at the middle where `wants_input` is false).
// gate, up, and scratch are overwritten.
void block_backward(const BlockContext& context, const BlockWeights& weights, const BlockActivations& kept,
                    const BlockScratch& scratch, const Matrix& d, bool wants_input);

}  // namespace oneround
