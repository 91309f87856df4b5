#include "models/cached_attention.h"

#include <cstring>

namespace oneround {

namespace {

void remember(const AttentionShape& shape, const Matrix& qkv, const Segment& segment, int64_t sequence,
              const CachePass& pass) {
  const int64_t queries = shape.heads * shape.head_dim, width = shape.kv_heads * shape.head_dim;
  const size_t bytes = static_cast<size_t>(width) * sizeof(float);
  const int64_t end = segment.start + segment.count;
  const Matrix keys = pass.cache->keys_of(pass.layer, sequence, end);
  const Matrix values = pass.cache->values_of(pass.layer, sequence, end);
  for (int64_t t = 0; t < segment.count; t++) {
    const float* k = qkv.row(segment.first + t) + queries;
    std::memcpy(keys.row(segment.start + t), k, bytes);
    std::memcpy(values.row(segment.start + t), k + width, bytes);
  }
}

}  // namespace

void cached_attention(const Backend& backend, const AttentionShape& shape, const Matrix& qkv, Segments segments,
                      const CachePass& pass, const Matrix& y, const Matrix& log_sum) {
  const int64_t queries = shape.heads * shape.head_dim, width = shape.kv_heads * shape.head_dim;
  const Matrix q = qkv.slice_cols(0, queries);
  const Matrix k = qkv.slice_cols(queries, width);
  const Matrix v = qkv.slice_cols(queries + width, width);
  for (int64_t s = 0; s < segments.count; s++) {
    const Segment& segment = segments.data[s];
    remember(shape, qkv, segment, pass.sequences[s], pass);
    if (segment.start == 0) {
      backend.attention(backend.self, q, k, v, shape, y, log_sum, {&segment, 1});
      continue;
    }
    for (int64_t t = 0; t < segment.count; t++) {
      const int64_t keys = segment.start + t + 1;
      backend.attention_row(backend.self, q.row(segment.first + t),
                            pass.cache->keys_of(pass.layer, pass.sequences[s], keys),
                            pass.cache->values_of(pass.layer, pass.sequences[s], keys), shape, pass.cache->scores,
                            y.row(segment.first + t));
    }
  }
}

}  // namespace oneround
