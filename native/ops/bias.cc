#include "ops/column_sums.h"
#include "ops/entries.h"

namespace oneround::ops {

void add_bias(void* self, const float* bias, const Matrix& y) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(y.rows, 8, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++) context.kernels.add(bias, y.cols, y.row(m));
  });
}

void bias_backward(void* self, const Matrix& d_y, float* d_bias, Segments segments) {
  add_column_sums(cpu(self), d_y.cols, segments, d_bias, [&](int64_t m, int64_t c) { return d_y.row(m)[c]; });
}

}  // namespace oneround::ops
