// Causal attention inside each segment, one (segment, head) a task. The obvious loop:
//   for i: s_j = q_i . k_j / sqrt(D), j <= i; p = softmax(s); y_i = sum_j p_j v_j; log_sum_i = log(sum_j exp(s_j))
// With a window, j > i - window too. Scores exist for one block of queries at a time, never for the whole segment.
#include <cmath>

#include "engine/elementary.h"
#include "ops/attention_scratch.h"
#include "ops/entries.h"

namespace oneround {

AttentionScratch divide_attention_scratch(const CpuContext& context, float* base, int64_t longest_segment,
                                          AttentionShape shape) {
  const int64_t width = context.width();
  const int64_t padded_length = (longest_segment + width - 1) / width * width;
  const int64_t padded_dim = (shape.head_dim + width - 1) / width * width;
  AttentionScratch scratch;
  scratch.score_stride = padded_length;
  float* next = base;
  const auto take = [&](int64_t floats) {
    float* at = next;
    if (base != nullptr) next += floats;
    scratch.floats += floats;
    return at;
  };
  scratch.scores = take(kQueryBlock * padded_length);
  scratch.d_scores = take(kQueryBlock * padded_length);
  scratch.k_columns = take(shape.head_dim * padded_length);
  scratch.k_rows = take(longest_segment * padded_dim);
  scratch.v_columns = take(std::max(shape.head_dim * padded_length, longest_segment * padded_dim));
  scratch.v_rows = scratch.v_columns;
  scratch.q_rows = take(kQueryBlock * padded_dim);
  scratch.d_y_rows = take(kQueryBlock * padded_dim);
  return scratch;
}

int64_t attention_scratch(const CpuContext& context, int64_t longest_segment, AttentionShape shape) {
  return divide_attention_scratch(context, nullptr, longest_segment, shape).floats;
}

void softmax_rows(const Kernels& kernels, const AttentionScratch& scratch, int64_t first, int64_t queries,
                  int64_t window, float* sums, const Matrix& log_sum, int64_t head) {
  const int64_t keys = first + queries;
  float maxima[kQueryBlock];
  for (int64_t i = 0; i < queries; i++) {
    float* row = scratch.scores + i * scratch.score_stride;
    const int64_t valid = first + i + 1, seen = first_key(first + i, window);
    sums[i] = kernels.exponentials(row + seen, valid - seen, maxima + i);
    std::fill(row, row + seen, 0.0f);
    std::fill(row + valid, row + keys, 0.0f);
  }
  // On their own, so that the processor works at several at a time.
  for (int64_t i = 0; i < queries; i++) log_sum.row(i)[head] = static_cast<float>(logarithm(sums[i]) + maxima[i]);
}

namespace ops {

void attention(void* self, const Matrix& q, const Matrix& k, const Matrix& v, AttentionShape shape, const Matrix& y,
               const Matrix& log_sum, Segments segments) {
  if (has_parents(segments)) return attention_tree(cpu(self), q, k, v, shape, y, log_sum, segments);
  CpuContext& context = cpu(self);
  const int64_t dim = shape.head_dim, group = shape.heads / shape.kv_heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  context.pool.for_each(segments.count * shape.heads, [&](int64_t task, int worker) {
    const Segment& segment = segments.data[task / shape.heads];
    const int64_t head = task % shape.heads, kv_head = head / group, length = segment.count;
    const auto part = [&](const Matrix& m, int64_t h) {
      return m.slice_rows(segment.first, length).slice_cols(h * dim, dim);
    };
    const Matrix qs = part(q, head), ks = part(k, kv_head), vs = part(v, kv_head), ys = part(y, head);
    const WorkerScratch& mine = context.scratch[static_cast<size_t>(worker)];
    RowsAhead ahead;
    const WorkerProducts products{context, mine, context.bf16 && !shape.exact, &ahead};
    const AttentionScratch scratch = divide_attention_scratch(context, mine.attention, length, shape);
    products.pack_panels(columns_of(ks), 0, dim, 0, length, scratch.k_columns);
    products.pack_panels(rows_of(vs), 0, length, 0, dim, scratch.v_rows);
    for (int64_t first = 0; first < length; first += kQueryBlock) {
      const int64_t queries = std::min(kQueryBlock, length - first), keys = first + queries;
      ahead.begin(kLinesAtOnce, kDepthsPerLine);
      ask_for_next_block(ahead, q.slice_rows(segment.first, length), head, dim, first);
      products.multiply(queries, keys, dim, qs.row(first), qs.stride, 1, scratch.k_columns, dim, scratch.scores,
                        scratch.score_stride, scale, false, {Causal::Cut::columns, first});
      float sums[kQueryBlock];
      softmax_rows(context.kernels, scratch, first, queries, shape.window, sums,
                   log_sum.slice_rows(segment.first + first, queries), head);
      products.multiply(queries, dim, keys, scratch.scores, scratch.score_stride, 1, scratch.v_rows, length,
                        ys.row(first), ys.stride, 1.0f, false, {Causal::Cut::to_row, first});
      for (int64_t i = 0; i < queries; i++) context.kernels.scale(1.0f / sums[i], dim, ys.row(first + i));
    }
  });
}

}  // namespace ops
}  // namespace oneround
