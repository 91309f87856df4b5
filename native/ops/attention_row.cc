// softmax(q k' / sqrt(D)) v for one query over a cache of keys and values, one head a task.
#include <cmath>

#include "ops/attention_scratch.h"
#include "ops/entries.h"

namespace oneround::ops {

void attention_row(void* self, const float* q, const Matrix& k, const Matrix& v, AttentionShape shape, float* scores,
                   float* y) {
  CpuContext& context = cpu(self);
  const int64_t dim = shape.head_dim, group = shape.heads / shape.kv_heads, keys = k.rows;
  const int64_t seen = first_key(keys - 1, shape.window);
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  context.pool.for_each(shape.heads, [&](int64_t head, int) {
    const int64_t column = head / group * dim;
    float* mine = scores + head * keys;
    float* out = y + head * dim;
    for (int64_t j = seen; j < keys; j++) mine[j] = scale * context.kernels.dot(q + head * dim, k.row(j) + column, dim);
    float maximum;
    const float sum = context.kernels.exponentials(mine + seen, keys - seen, &maximum);
    std::fill_n(out, dim, 0.0f);
    for (int64_t j = seen; j < keys; j++) context.kernels.multiply_add(v.row(j) + column, mine[j] / sum, dim, out);
  });
}

}  // namespace oneround::ops
