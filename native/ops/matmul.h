// c[i,j] (+)= scale * sum_k a[i,k] b[k,j], with b read from any storage type.
#pragma once

#include "ops/cpu_context.h"

namespace oneround {

// The second operand as rows in memory: either row j is column j of b (a weight [N,K], b = w'), or row k is row k of b.
struct RowSource {
  const uint8_t* base;
  int type;
  int64_t row_bytes;
  const Weight* order;  // null: rows lie in order
  bool rows_are_columns;

  const uint8_t* row(int64_t r) const { return base + (order == nullptr ? r : order->file_row(r)) * row_bytes; }
};
RowSource columns_of(const Weight& w);  // b = w'
RowSource rows_of(const Weight& w);     // b = w
RowSource columns_of(const Matrix& m);
RowSource rows_of(const Matrix& m);

struct Product {
  int64_t m, n;
  const float* a;
  int64_t a_row_step, a_k_step;
  RowSource b;
  float* c;
  int64_t c_stride;
  float scale;
  bool accumulate;
};

// The sum over k runs through `blocks` in order; each is at most kDepth long.
void multiply(CpuContext& context, const Product& product, const std::vector<DepthBlock>& blocks);

// Blocks of kDepth over [0, depth), and over each segment from its own start. Both reuse context.depth_blocks.
const std::vector<DepthBlock>& blocks_over(CpuContext& context, int64_t depth);
const std::vector<DepthBlock>& blocks_over(CpuContext& context, Segments segments);

// --- inside one worker ---

// Packs rows [first, first + count) x columns [0, n) of b: panel p at out + p * count * width.
void pack_panels(const CpuContext& context, const WorkerScratch& scratch, const RowSource& b, int64_t first,
                 int64_t count, int64_t first_column, int64_t n, float* out);

// c (+)= scale * a b for a b packed by pack_panels with `packed_count` rows, of which the first `count` are used.
void multiply_packed(const CpuContext& context, const WorkerScratch& scratch, int64_t m, int64_t n, int64_t count,
                     const float* a, int64_t a_row_step, int64_t a_k_step, const float* packed, int64_t packed_count,
                     float* c, int64_t c_stride, float scale, bool accumulate);

}  // namespace oneround
