// How a worker's attention scratch is divided; counted and taken by the same lines.
#pragma once

#include "ops/matmul.h"
#include "ops/rows_ahead.h"

namespace oneround {

// L: longest segment, D: head_dim; panels are padded to a tile's width.
struct AttentionScratch {
  float* scores = nullptr;     // [kQueryBlock, score_stride]
  float* d_scores = nullptr;   // [kQueryBlock, score_stride]
  float* k_columns = nullptr;  // k' packed: depth D, columns L
  float* v_columns = nullptr;  // v' packed: depth D, columns L
  float* k_rows = nullptr;     // k packed: depth L, columns D
  float* v_rows = nullptr;     // v packed: depth L, columns D (forward only; shares v_columns' place)
  float* q_rows = nullptr;     // a block of q packed: depth kQueryBlock, columns D
  float* d_y_rows = nullptr;   // a block of d_y packed: depth kQueryBlock, columns D
  int64_t score_stride = 0;
  int64_t floats = 0;
};

// Rows of m [length, heads D] that are taken after the block of queries at `first` of a head: the head's next block, or
// the next head's first.
inline void ask_for_next_block(RowsAhead& ahead, const Matrix& m, int64_t head, int64_t dim, int64_t first) {
  const bool ends = first + kQueryBlock >= m.rows;
  const int64_t next = ends ? 0 : first + kQueryBlock, column = (ends ? head + 1 : head) * dim;
  if (column < m.cols)
    ahead.add(rows_of(m), next, std::min(kQueryBlock, m.rows - next), column * 4, (column + dim) * 4);
}

// Tiles are small here: they ask for lines twice as fast as those of large products.
constexpr int64_t kLinesAtOnce = 16, kDepthsPerLine = 2;

// The first key that a query sees.
inline int64_t first_key(int64_t query, int64_t window) {
  return window == 0 || query < window ? 0 : query - window + 1;
}

// Scores of queries at positions first.. against keys 0 .. first + queries - 1 become unnormalised probabilities: query
// i attends to keys first_key .. first + i, and its y is scaled by 1 / sums[i] afterwards. log_sum: the queries' rows.
void softmax_rows(const Kernels& kernels, const AttentionScratch& scratch, int64_t first, int64_t queries,
                  int64_t window, float* sums, const Matrix& log_sum, int64_t head);

// attention() where segments have parents (attention_tree.cc).
inline bool has_parents(Segments segments) {
  for (int64_t s = 0; s < segments.count; s++)
    if (segments.data[s].parent >= 0) return true;
  return false;
}
void attention_tree(CpuContext& context, const Matrix& q, const Matrix& k, const Matrix& v, AttentionShape shape,
                    const Matrix& y, const Matrix& log_sum, Segments segments);

AttentionScratch divide_attention_scratch(const CpuContext& context, float* base, int64_t longest_segment,
                                          AttentionShape shape);

}  // namespace oneround
