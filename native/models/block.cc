#include "models/block.h"

#include <initializer_list>

namespace oneround {

namespace {

// q, k and v as columns of one buffer.
struct Heads {
  Matrix q, k, v;
};
Heads split(const DecoderShape& shape, const Matrix& qkv) {
  const int64_t queries = shape.query_width(), keys = shape.kv_width();
  return {qkv.slice_cols(0, queries), qkv.slice_cols(queries, keys), qkv.slice_cols(queries + keys, keys)};
}

AttentionShape attention_shape(const DecoderShape& shape, const BlockWeights& weights) {
  return {shape.heads, shape.kv_heads, shape.head_dim, shape.window, weights.exact_attention};
}

// Calls body(columns of one head, its row in head_inv, its norm) for the heads of q, then of k.
template <class Body>
void for_normed_heads(const DecoderShape& shape, const BlockWeights& weights, const Body& body) {
  for (int64_t h = 0; h < shape.heads + shape.kv_heads; h++)
    body(h * shape.head_dim, h, h < shape.heads ? weights.q_norm : weights.k_norm);
}

void rotate(const BlockContext& context, const Matrix& qkv, float direction) {
  if (context.cos == nullptr) return;
  const DecoderShape& shape = *context.shape;
  const Heads heads = split(shape, qkv);
  const Backend& backend = *context.backend;
  backend.rope(backend.self, heads.q, shape.heads, shape.head_dim, context.cos, context.sin, direction,
               context.pass.segments);
  backend.rope(backend.self, heads.k, shape.kv_heads, shape.head_dim, context.cos, context.sin, direction,
               context.pass.segments);
}

// projected -> qkv: head norms of q and k, v copied
void normalize_heads(const BlockContext& context, const BlockWeights& weights, const BlockActivations& kept) {
  const Backend& backend = *context.backend;
  const DecoderShape& shape = *context.shape;
  const int64_t rows = kept.qkv.rows;
  for_normed_heads(shape, weights, [&](int64_t column, int64_t head, const Norm& norm) {
    backend.rms_norm(backend.self, kept.projected.slice_cols(column, shape.head_dim), norm.weight, shape.norm_epsilon,
                     kept.qkv.slice_cols(column, shape.head_dim), kept.head_inv + head * rows);
  });
  backend.copy(backend.self, split(shape, kept.projected).v, split(shape, kept.qkv).v);
}

// d_qkv -> d_projected
void normalize_heads_backward(const BlockContext& context, const BlockWeights& weights, const BlockActivations& kept,
                              const BlockScratch& scratch) {
  const Backend& backend = *context.backend;
  const DecoderShape& shape = *context.shape;
  const int64_t rows = kept.qkv.rows;
  backend.fill_zero(backend.self, scratch.d_projected.data, rows * scratch.d_projected.stride);
  for_normed_heads(shape, weights, [&](int64_t column, int64_t head, const Norm& norm) {
    backend.rms_norm_backward(backend.self, kept.projected.slice_cols(column, shape.head_dim), norm.weight,
                              kept.head_inv + head * rows, scratch.d_qkv.slice_cols(column, shape.head_dim),
                              scratch.d_projected.slice_cols(column, shape.head_dim), norm.d_weight,
                              context.pass.segments);
  });
  backend.add(backend.self, split(shape, scratch.d_qkv).v, split(shape, scratch.d_projected).v);
}

}  // namespace

void block_forward(const BlockContext& context, const BlockWeights& weights, const BlockActivations& kept,
                   const BlockScratch& scratch, const Matrix& y) {
  const Backend& backend = *context.backend;
  const DecoderShape& shape = *context.shape;
  const auto use = [&](const LinearLayer& layer, const Matrix& out, LinearPlace place) {
    return LayerUse{&layer, out, kept.lora_u[place]};
  };
  const auto apply = [&](const Matrix& in, std::initializer_list<LayerUse> uses) {
    linear_forward(backend, {uses.begin(), uses.size()}, in, scratch.linear, context.pass);
  };
  norm_forward(backend, weights.attention_norm, kept.x, shape.norm_epsilon, scratch.normed, kept.attention_rows);
  const Matrix projected = shape.query_key_norm ? kept.projected : kept.qkv;
  if (shape.fused_attention) {
    apply(scratch.normed, {use(weights.fused, projected, kFused)});
  } else {
    const Heads parts = split(shape, projected);
    apply(scratch.normed, {use(weights.q, parts.q, kQ), use(weights.k, parts.k, kK), use(weights.v, parts.v, kV)});
  }
  if (shape.query_key_norm) normalize_heads(context, weights, kept);
  rotate(context, kept.qkv, 1.0f);
  const Heads heads = split(shape, kept.qkv);
  if (context.cache != nullptr)
    cached_attention(backend, attention_shape(shape, weights), kept.qkv, context.pass.segments, *context.cache,
                     kept.attended, kept.log_sum);
  else
    backend.attention(backend.self, heads.q, heads.k, heads.v, attention_shape(shape, weights), kept.attended,
                      kept.log_sum, context.pass.segments);
  if (weights.rounds_attended) backend.keep_rounded(backend.self, kept.attended, kept.attended16);
  apply(kept.attended, {use(weights.o, kept.middle, kO)});
  backend.add(backend.self, kept.x, kept.middle);

  norm_forward(backend, weights.feed_norm, kept.middle, shape.norm_epsilon, scratch.normed, kept.feed_rows);
  if (shape.gelu) {
    apply(scratch.normed, {use(weights.up, kept.up, kUp)});
    backend.gelu(backend.self, kept.up, scratch.active);
  } else {
    apply(scratch.normed, {use(weights.gate, kept.gate, kGate), use(weights.up, kept.up, kUp)});
    if (weights.rounds_feed)
      backend.swiglu_keep(backend.self, kept.gate, kept.up, kept.gate16, kept.up16, scratch.active);
    else
      backend.swiglu(backend.self, kept.gate, kept.up, scratch.active);
  }
  apply(scratch.active, {use(weights.down, y, kDown)});
  backend.add(backend.self, kept.middle, y);
}

void block_backward(const BlockContext& context, const BlockWeights& weights, const BlockActivations& kept,
                    const BlockScratch& scratch, const Matrix& d, bool wants_input) {
  const Backend& backend = *context.backend;
  const DecoderShape& shape = *context.shape;
  const auto use = [&](const LinearLayer& layer, const Matrix& d_out, LinearPlace place) {
    return LayerUse{&layer, d_out, kept.lora_u[place]};
  };
  const auto apply = [&](const Matrix& in, const Matrix& d_in, std::initializer_list<LayerUse> uses) {
    linear_backward(backend, {uses.begin(), uses.size()}, in, d_in, scratch.linear, context.pass);
  };
  if (weights.rounds_attended) backend.take_kept(backend.self, kept.attended16, kept.attended);
  norm_again(backend, weights.feed_norm, kept.middle, kept.feed_rows, scratch.normed);
  if (shape.gelu)
    backend.gelu(backend.self, kept.up, scratch.active);
  else if (weights.rounds_feed)
    backend.swiglu_kept(backend.self, kept.gate16, kept.up16, scratch.active);
  else
    backend.swiglu(backend.self, kept.gate, kept.up, scratch.active);
  apply(scratch.active, scratch.d_active, {use(weights.down, d, kDown)});
  if (shape.gelu) {
    backend.gelu_backward(backend.self, kept.up, scratch.d_active, kept.up);
    apply(scratch.normed, scratch.d_normed, {use(weights.up, kept.up, kUp)});
  } else {
    if (weights.rounds_feed)
      backend.swiglu_kept_backward(backend.self, kept.gate16, kept.up16, scratch.d_active, kept.gate, kept.up);
    else
      backend.swiglu_backward(backend.self, kept.gate, kept.up, scratch.d_active, kept.gate, kept.up);
    apply(scratch.normed, scratch.d_normed, {use(weights.gate, kept.gate, kGate), use(weights.up, kept.up, kUp)});
  }
  norm_backward(backend, weights.feed_norm, kept.middle, kept.feed_rows, scratch.d_normed, d, context.pass.segments);

  apply(kept.attended, scratch.d_attended, {use(weights.o, d, kO)});
  const Heads heads = split(shape, kept.qkv), d_heads = split(shape, scratch.d_qkv);
  backend.attention_backward(backend.self, heads.q, heads.k, heads.v, attention_shape(shape, weights), kept.attended,
                             kept.log_sum, scratch.d_attended, d_heads.q, d_heads.k, d_heads.v, context.pass.segments);
  rotate(context, scratch.d_qkv, -1.0f);
  if (shape.query_key_norm) normalize_heads_backward(context, weights, kept, scratch);
  const Matrix d_projected = shape.query_key_norm ? scratch.d_projected : scratch.d_qkv;
  norm_again(backend, weights.attention_norm, kept.x, kept.attention_rows, scratch.normed);
  const Matrix d_normed = wants_input || weights.attention_norm.trains() ? scratch.d_normed : Matrix{};
  if (shape.fused_attention) {
    apply(scratch.normed, d_normed, {use(weights.fused, d_projected, kFused)});
  } else {
    const Heads parts = split(shape, d_projected);
    apply(scratch.normed, d_normed,
          {use(weights.q, parts.q, kQ), use(weights.k, parts.k, kK), use(weights.v, parts.v, kV)});
  }
  if (d_normed.data == nullptr) return;
  norm_backward(backend, weights.attention_norm, kept.x, kept.attention_rows, d_normed, d, context.pass.segments);
}

}  // namespace oneround
