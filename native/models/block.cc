#include "models/block.h"

namespace oneround {

namespace {

// The place of each layer's u in BlockActivations::lora_u.
enum { kQ, kK, kV, kO, kGate, kUp, kDown };

AttentionShape attention_shape(const DecoderShape& shape) { return {shape.heads, shape.kv_heads, shape.head_dim}; }

}  // namespace

void block_forward(const BlockContext& context, const BlockWeights& weights, const BlockActivations& kept,
                   const BlockScratch& scratch, const Matrix& y) {
  const Backend& backend = *context.backend;
  const DecoderShape& shape = *context.shape;
  const auto apply = [&](const LinearLayer& layer, const Matrix& in, const Matrix& out, float* u) {
    linear_forward(backend, layer, in, out, u, scratch.linear, context.dropout_seed, context.segments);
  };
  backend.rms_norm(backend.self, kept.x, weights.input_norm, shape.norm_epsilon, scratch.normed, kept.inv_rms1);
  apply(weights.q, scratch.normed, kept.q, kept.lora_u[kQ]);
  apply(weights.k, scratch.normed, kept.k, kept.lora_u[kK]);
  apply(weights.v, scratch.normed, kept.v, kept.lora_u[kV]);
  backend.rope(backend.self, kept.q, shape.heads, shape.head_dim, context.cos, context.sin, 1.0f, context.segments);
  backend.rope(backend.self, kept.k, shape.kv_heads, shape.head_dim, context.cos, context.sin, 1.0f, context.segments);
  backend.attention(backend.self, kept.q, kept.k, kept.v, attention_shape(shape), kept.attended, kept.log_sum,
                    context.segments);
  apply(weights.o, kept.attended, kept.middle, kept.lora_u[kO]);
  backend.add(backend.self, kept.x, kept.middle);

  backend.rms_norm(backend.self, kept.middle, weights.post_norm, shape.norm_epsilon, scratch.normed, kept.inv_rms2);
  apply(weights.gate, scratch.normed, kept.gate, kept.lora_u[kGate]);
  apply(weights.up, scratch.normed, kept.up, kept.lora_u[kUp]);
  backend.swiglu(backend.self, kept.gate, kept.up, scratch.active);
  apply(weights.down, scratch.active, y, kept.lora_u[kDown]);
  backend.add(backend.self, kept.middle, y);
}

void block_backward(const BlockContext& context, const BlockWeights& weights, const BlockActivations& kept,
                    const BlockScratch& scratch, const Matrix& d, bool wants_input) {
  const Backend& backend = *context.backend;
  const DecoderShape& shape = *context.shape;
  const auto apply = [&](const LinearLayer& layer, const Matrix& in, const Matrix& d_out, const Matrix& d_in, bool accumulate,
                         float* u) {
    linear_backward(backend, layer, in, d_out, d_in, accumulate, u, scratch.linear, context.dropout_seed, context.segments);
  };
  backend.rms_norm_again(backend.self, kept.middle, weights.post_norm, kept.inv_rms2, scratch.normed);
  backend.swiglu(backend.self, kept.gate, kept.up, scratch.active);
  apply(weights.down, scratch.active, d, scratch.d_active, false, kept.lora_u[kDown]);
  backend.swiglu_backward(backend.self, kept.gate, kept.up, scratch.d_active, kept.gate, kept.up);
  apply(weights.gate, scratch.normed, kept.gate, scratch.d_normed, false, kept.lora_u[kGate]);
  apply(weights.up, scratch.normed, kept.up, scratch.d_normed, true, kept.lora_u[kUp]);
  backend.rms_norm_backward(backend.self, kept.middle, weights.post_norm, kept.inv_rms2, scratch.d_normed, d,
                            weights.d_post_norm, context.segments);

  apply(weights.o, kept.attended, d, scratch.d_attended, false, kept.lora_u[kO]);
  backend.attention_backward(backend.self, kept.q, kept.k, kept.v, attention_shape(shape), kept.attended, kept.log_sum,
                             scratch.d_attended, scratch.d_q, scratch.d_k, scratch.d_v, context.segments);
  backend.rope(backend.self, scratch.d_q, shape.heads, shape.head_dim, context.cos, context.sin, -1.0f, context.segments);
  backend.rope(backend.self, scratch.d_k, shape.kv_heads, shape.head_dim, context.cos, context.sin, -1.0f, context.segments);
  backend.rms_norm_again(backend.self, kept.x, weights.input_norm, kept.inv_rms1, scratch.normed);
  const Matrix d_normed = wants_input || weights.d_input_norm != nullptr ? scratch.d_normed : Matrix{};
  apply(weights.q, scratch.normed, scratch.d_q, d_normed, false, kept.lora_u[kQ]);
  apply(weights.k, scratch.normed, scratch.d_k, d_normed, true, kept.lora_u[kK]);
  apply(weights.v, scratch.normed, scratch.d_v, d_normed, true, kept.lora_u[kV]);
  if (d_normed.data == nullptr) return;
  backend.rms_norm_backward(backend.self, kept.x, weights.input_norm, kept.inv_rms1, d_normed, d, weights.d_input_norm,
                            context.segments);
}

}  // namespace oneround
