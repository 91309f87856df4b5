// Gradients of attention, one (segment, key-value head) a task, its query heads in order. The obvious loop, per query
// i:
//   delta_i = y_i . d_y_i;  p_ij = exp(s_ij - log_sum_i);  d_p_ij = d_y_i . v_j;  d_s_ij = p_ij (d_p_ij - delta_i) /
//   sqrt(D) d_q_i = sum_j d_s_ij k_j;  d_k_j += d_s_ij q_i;  d_v_j += p_ij d_y_i
#include <cmath>

#include "ops/attention_scratch.h"
#include "ops/entries.h"

namespace oneround::ops {

namespace {

struct Head {
  Matrix q, k, v, y, d_y, d_q, d_k, d_v;  // [length, D]
  Matrix log_sum;                         // [length, heads]
  int64_t index;
  int64_t window;
};

void backward_block(const WorkerProducts& products, const AttentionScratch& scratch, const Head& head, int64_t first,
                    int64_t queries) {
  const int64_t dim = head.q.cols, keys = first + queries, length = head.q.rows, stride = scratch.score_stride;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  using Cut = Causal::Cut;
  products.multiply(queries, keys, dim, head.q.row(first), head.q.stride, 1, scratch.k_columns, dim, scratch.scores,
                    stride, scale, false, {Cut::columns, first});
  products.multiply(queries, keys, dim, head.d_y.row(first), head.d_y.stride, 1, scratch.v_columns, dim,
                    scratch.d_scores, stride, 1.0f, false, {Cut::columns, first});
  for (int64_t i = 0; i < queries; i++) {
    const float delta = products.context.kernels.dot(head.y.row(first + i), head.d_y.row(first + i), dim);
    const int64_t seen = first_key(first + i, head.window);
    float *scores = scratch.scores + i * stride, *d_scores = scratch.d_scores + i * stride;
    std::fill(scores, scores + seen, 0.0f);
    std::fill(d_scores, d_scores + seen, 0.0f);
    products.context.kernels.softmax_backward(scores + seen, d_scores + seen, head.log_sum.row(first + i)[head.index],
                                              delta, scale, first + i + 1 - seen, keys - seen);
  }
  products.multiply(queries, dim, keys, scratch.d_scores, stride, 1, scratch.k_rows, length, head.d_q.row(first),
                    head.d_q.stride, 1.0f, false, {Cut::to_row, first});
  products.pack_panels(rows_of(head.q), first, queries, 0, dim, scratch.q_rows);
  products.pack_panels(rows_of(head.d_y), first, queries, 0, dim, scratch.d_y_rows);
  products.multiply(keys, dim, queries, scratch.d_scores, 1, stride, scratch.q_rows, queries, head.d_k.data,
                    head.d_k.stride, 1.0f, true, {Cut::from_row, first});
  products.multiply(keys, dim, queries, scratch.scores, 1, stride, scratch.d_y_rows, queries, head.d_v.data,
                    head.d_v.stride, 1.0f, true, {Cut::from_row, first});
}

}  // namespace

void attention_backward(void* self, const Matrix& q, const Matrix& k, const Matrix& v, AttentionShape shape,
                        const Matrix& y, const Matrix& log_sum, const Matrix& d_y, const Matrix& d_q, const Matrix& d_k,
                        const Matrix& d_v, Segments segments) {
  CpuContext& context = cpu(self);
  const int64_t dim = shape.head_dim, group = shape.heads / shape.kv_heads;
  context.pool.for_each(segments.count * shape.kv_heads, [&](int64_t task, int worker) {
    const Segment& segment = segments.data[task / shape.kv_heads];
    const int64_t kv_head = task % shape.kv_heads, length = segment.count;
    const auto part = [&](const Matrix& m, int64_t h) {
      return m.slice_rows(segment.first, length).slice_cols(h * dim, dim);
    };
    const WorkerScratch& mine = context.scratch[static_cast<size_t>(worker)];
    RowsAhead ahead;
    const WorkerProducts products{context, mine, context.bf16 && !shape.exact, &ahead};
    const AttentionScratch scratch = divide_attention_scratch(context, mine.attention, length, shape);
    Head head{{},
              part(k, kv_head),
              part(v, kv_head),
              {},
              {},
              {},
              part(d_k, kv_head),
              part(d_v, kv_head),
              log_sum.slice_rows(segment.first, length),
              0,
              shape.window};
    products.pack_panels(columns_of(head.k), 0, dim, 0, length, scratch.k_columns);
    products.pack_panels(rows_of(head.k), 0, length, 0, dim, scratch.k_rows);
    products.pack_panels(columns_of(head.v), 0, dim, 0, length, scratch.v_columns);
    for (int64_t t = 0; t < length; t++) {
      std::fill_n(head.d_k.row(t), dim, 0.0f);
      std::fill_n(head.d_v.row(t), dim, 0.0f);
    }
    for (int64_t h = kv_head * group; h < (kv_head + 1) * group; h++) {
      head.index = h;
      head.q = part(q, h);
      head.y = part(y, h);
      head.d_y = part(d_y, h);
      head.d_q = part(d_q, h);
      for (int64_t first = 0; first < length; first += kQueryBlock) {
        const int64_t queries = std::min(kQueryBlock, length - first);
        ahead.begin(kLinesAtOnce, kDepthsPerLine);
        ask_for_next_block(ahead, d_y.slice_rows(segment.first, length), h, dim, first);
        ask_for_next_block(ahead, q.slice_rows(segment.first, length), h, dim, first);
        ahead.add(rows_of(head.y), first, queries, 0, dim * 4);
        backward_block(products, scratch, head, first, queries);
      }
    }
  });
}

}  // namespace oneround::ops
