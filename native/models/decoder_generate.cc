// Decoder's generation: the prompt in one pass, then one token at a time over a cache of keys and values.
#include <cstring>

#include "models/decoder.h"
#include "models/linear_row.h"

namespace oneround {

namespace {

struct RowPass {
  const Backend* backend;
  const Parameters* parameters;
  const DecoderShape* shape;
  const float* cos;  // of this position
  const float* sin;
  float* inner;
};

void row_norm(const RowPass& pass, const Norm& norm, const Matrix& x, const Matrix& y) {
  float mean, inv;
  norm_forward(*pass.backend, norm, x, pass.shape->norm_epsilon, y, {&mean, &inv});
}

// q, k, v of one row, with head norms and rotation; k and v join the cache.
void row_heads(const RowPass& pass, const BlockWeights& weights, const BlockActivations& kept, const Matrix& normed,
               KvCache* cache, int64_t layer) {
  const Backend& backend = *pass.backend;
  const DecoderShape& shape = *pass.shape;
  float* q = kept.qkv.data;
  float* k = q + shape.query_width();
  float* v = k + shape.kv_width();
  if (shape.fused_attention) {
    linear_row_forward(backend, *pass.parameters, normed.data, {{&weights.fused, q}}, pass.inner);
  } else {
    linear_row_forward(backend, *pass.parameters, normed.data, {{&weights.q, q}, {&weights.k, k}, {&weights.v, v}},
                       pass.inner);
  }
  if (shape.query_key_norm)
    for (int64_t h = 0; h < shape.heads + shape.kv_heads; h++) {
      const Matrix head = matrix(q + h * shape.head_dim, 1, shape.head_dim);
      row_norm(pass, h < shape.heads ? weights.q_norm : weights.k_norm, head, head);
    }
  if (pass.cos != nullptr) {
    const Segment one{0, 1, 0};
    backend.rope(backend.self, matrix(q, 1, shape.query_width()), shape.heads, shape.head_dim, pass.cos, pass.sin, 1.0f,
                 {&one, 1});
    backend.rope(backend.self, matrix(k, 1, shape.kv_width()), shape.kv_heads, shape.head_dim, pass.cos, pass.sin, 1.0f,
                 {&one, 1});
  }
  const size_t bytes = static_cast<size_t>(shape.kv_width()) * sizeof(float);
  const int64_t at = cache->length(0);
  std::memcpy(cache->keys_of(layer, 0, at + 1).row(at), k, bytes);
  std::memcpy(cache->values_of(layer, 0, at + 1).row(at), v, bytes);
}

// x is overwritten with the block's output.
void block_row(const RowPass& pass, const BlockWeights& weights, const BlockActivations& kept,
               const BlockScratch& scratch, KvCache* cache, int64_t layer, const Matrix& x) {
  const Backend& backend = *pass.backend;
  const DecoderShape& shape = *pass.shape;
  const Matrix normed = scratch.normed.slice_rows(0, 1), active = scratch.active.slice_rows(0, 1);
  row_norm(pass, weights.attention_norm, x, normed);
  row_heads(pass, weights, kept, normed, cache, layer);
  const int64_t keys = cache->length(0) + 1;
  backend.attention_row(backend.self, kept.qkv.data, cache->keys_of(layer, 0, keys), cache->values_of(layer, 0, keys),
                        {shape.heads, shape.kv_heads, shape.head_dim, shape.window}, cache->scores, kept.attended.data);
  linear_row_forward(backend, *pass.parameters, kept.attended.data, {{&weights.o, normed.data}}, pass.inner);
  backend.add(backend.self, normed, x);
  row_norm(pass, weights.feed_norm, x, normed);
  const Matrix up = kept.up.slice_rows(0, 1);
  if (shape.gelu) {
    linear_row_forward(backend, *pass.parameters, normed.data, {{&weights.up, up.data}}, pass.inner);
    backend.gelu(backend.self, up, active);
  } else {
    const Matrix gate = kept.gate.slice_rows(0, 1);
    linear_row_forward(backend, *pass.parameters, normed.data, {{&weights.gate, gate.data}, {&weights.up, up.data}},
                       pass.inner);
    backend.swiglu(backend.self, gate, up, active);
  }
  linear_row_forward(backend, *pass.parameters, active.data, {{&weights.down, normed.data}}, pass.inner);
  backend.add(backend.self, normed, x);
}

}  // namespace

Status Decoder::prefill(const Backend& backend, const Parameters& parameters, const int32_t* ids, int64_t count,
                        int32_t sequence, KvCache* cache, float* logits, const std::atomic<bool>& abort) {
  const Segment all{0, count, 0};
  CachePass cached{cache, &sequence};
  const PassClient client{&parameters, {&all, 1}, nullptr, 0.0f};
  const RowGroup rows{0, count};
  BlockContext pass = context(backend, {client.segments, {&client, 1}, {&rows, 1}});
  pass.cache = &cached;
  cache->length(sequence) = 0;
  if (Status s = forward(pass, ids, count, abort); !s.is_ok()) return s;
  cache->length(sequence) = count;
  head_logits(pass, head_, head_scratch_, final_.slice_rows(count - 1, 1),
              matrix(logits, 1, base_->shape().vocabulary));
  return Status::ok();
}

Status Decoder::next_each(const Backend& backend, const Parameters& parameters, const int32_t* ids,
                          const int32_t* sequences, int64_t count, KvCache* cache, float* logits,
                          const std::atomic<bool>& abort) {
  for (int64_t i = 0; i < count; i++) {
    cached_segments_[i] = {i, 1, 0};
    cached_segments_[i].start = cache->length(sequences[i]);
  }
  CachePass cached{cache, sequences};
  const PassClient client{&parameters, {cached_segments_, count}, nullptr, 0.0f};
  const RowGroup rows{0, count};
  BlockContext pass = context(backend, {client.segments, {&client, 1}, {&rows, 1}});
  pass.cache = &cached;
  if (Status s = forward(pass, ids, count, abort); !s.is_ok()) return s;
  for (int64_t i = 0; i < count; i++) cache->length(sequences[i])++;
  head_logits(pass, head_, head_scratch_, final_.slice_rows(0, count),
              matrix(logits, count, base_->shape().vocabulary));
  return Status::ok();
}

Status Decoder::next(const Backend& backend, const Parameters& parameters, int32_t id, KvCache* cache, float* logits,
                     const std::atomic<bool>& abort) {
  const DecoderShape& shape = base_->shape();
  const int64_t half = shape.head_dim / 2, position = cache->length(0);
  const bool rotates = cos_ != nullptr;
  const RowPass pass{&backend,
                     &parameters,
                     &shape,
                     rotates ? cos_ + position * half : nullptr,
                     rotates ? sin_ + position * half : nullptr,
                     inner_};
  const Matrix x = final_.slice_rows(0, 1);
  backend.embed(backend.self, &id, embedding_, x);
  if (positions_.data != nullptr) {
    const int32_t at = static_cast<int32_t>(position);
    backend.embed(backend.self, &at, positions_, scratch_.normed.slice_rows(0, 1));
    backend.add(backend.self, scratch_.normed.slice_rows(0, 1), x);
  }
  for (int64_t i = 0; i < shape.layers; i++) {
    if (abort.load(std::memory_order_relaxed)) return stopped();
    block_row(pass, blocks_[static_cast<size_t>(i)], kept_[0], scratch_, cache, i, x);
  }
  cache->length(0)++;
  const Matrix normed = scratch_.normed.slice_rows(0, 1);
  row_norm(pass, head_.norm, x, normed);
  backend.linear_row(backend.self, normed.data, head_.vocabulary, logits, 1.0f, false);
  return Status::ok();
}

}  // namespace oneround
