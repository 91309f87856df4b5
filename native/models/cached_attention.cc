#include "models/cached_attention.h"

#include <cstring>

namespace oneround {

namespace {

void remember(const DecoderShape& shape, const Matrix& qkv, const Segment& segment, int64_t sequence,
              const CachePass& pass) {
  const size_t bytes = static_cast<size_t>(shape.kv_width()) * sizeof(float);
  const int64_t end = segment.start + segment.count;
  const Matrix keys = pass.cache->keys_of(pass.layer, sequence, end);
  const Matrix values = pass.cache->values_of(pass.layer, sequence, end);
  for (int64_t t = 0; t < segment.count; t++) {
    const float* k = qkv.row(segment.first + t) + shape.query_width();
    std::memcpy(keys.row(segment.start + t), k, bytes);
    std::memcpy(values.row(segment.start + t), k + shape.kv_width(), bytes);
  }
}

}  // namespace

void cached_attention(const Backend& backend, const DecoderShape& shape, const Matrix& qkv, Segments segments,
                      const CachePass& pass, const Matrix& y, const Matrix& log_sum) {
  const AttentionShape attention{shape.heads, shape.kv_heads, shape.head_dim, shape.window};
  const Matrix q = qkv.slice_cols(0, shape.query_width());
  const Matrix k = qkv.slice_cols(shape.query_width(), shape.kv_width());
  const Matrix v = qkv.slice_cols(shape.query_width() + shape.kv_width(), shape.kv_width());
  for (int64_t s = 0; s < segments.count; s++) {
    const Segment& segment = segments.data[s];
    remember(shape, qkv, segment, pass.sequences[s], pass);
    if (segment.start == 0) {
      backend.attention(backend.self, q, k, v, attention, y, log_sum, {&segment, 1});
      continue;
    }
    for (int64_t t = 0; t < segment.count; t++) {
      const int64_t keys = segment.start + t + 1;
      backend.attention_row(backend.self, q.row(segment.first + t),
                            pass.cache->keys_of(pass.layer, pass.sequences[s], keys),
                            pass.cache->values_of(pass.layer, pass.sequences[s], keys), attention, pass.cache->scores,
                            y.row(segment.first + t));
    }
  }
}

}  // namespace oneround
