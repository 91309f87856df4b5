#include "ops/column_sums.h"
#include "ops/entries.h"

namespace oneround::ops {

namespace {

constexpr int64_t kRows = 8;

}  // namespace

void rms_norm(void* self, const Matrix& x, const float* weight, float epsilon, const Matrix& y, float* inv_rms) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(x.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++)
      inv_rms[m] = context.kernels.rms_norm(x.row(m), weight, epsilon, x.cols, y.row(m));
  });
}

void rms_norm_again(void* self, const Matrix& x, const float* weight, const float* inv_rms, const Matrix& y) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(x.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++)
      context.kernels.rms_norm_again(x.row(m), weight, inv_rms[m], x.cols, y.row(m));
  });
}

void rms_norm_backward(void* self, const Matrix& x, const float* weight, const float* inv_rms, const Matrix& d_y,
                       const Matrix& d_x, float* d_weight, Segments segments) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(x.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++)
      context.kernels.rms_norm_backward(x.row(m), weight, inv_rms[m], d_y.row(m), x.cols, d_x.row(m));
  });
  if (d_weight == nullptr) return;
  add_column_sums(context, x.cols, segments, d_weight,
                  [&](int64_t m, int64_t c) { return d_y.row(m)[c] * (x.row(m)[c] * inv_rms[m]); });
}

}  // namespace oneround::ops
