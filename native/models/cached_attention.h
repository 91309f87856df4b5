// Attention of a pass whose keys and values join a cache.
#pragma once

#include "engine/backend.h"
#include "models/kv_cache.h"

namespace oneround {

struct CachePass {
  KvCache* cache;
  const int32_t* sequences;  // one a segment
  int64_t layer = 0;
};

// Segments' keys and values join their sequences' caches behind the tokens that are in. A segment then attends to its
// sequence: to itself in an empty one, else each row to all before it.
void cached_attention(const Backend& backend, const AttentionShape& shape, const Matrix& qkv, Segments segments,
                      const CachePass& pass, const Matrix& y, const Matrix& log_sum);

}  // namespace oneround
