#include "ops/column_sums.h"
#include "ops/entries.h"

namespace oneround::ops {

namespace {
constexpr int64_t kRows = 8;
}

void layer_norm(void* self, const Matrix& x, const float* weight, const float* bias, float epsilon, const Matrix& y,
                float* mean, float* inv) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(x.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++)
      context.kernels.layer_norm(x.row(m), weight, bias, epsilon, x.cols, y.row(m), mean + m, inv + m);
  });
}

void layer_norm_again(void* self, const Matrix& x, const float* weight, const float* bias, const float* mean,
                      const float* inv, const Matrix& y) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(x.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++)
      context.kernels.layer_norm_again(x.row(m), weight, bias, mean[m], inv[m], x.cols, y.row(m));
  });
}

void layer_norm_backward(void* self, const Matrix& x, const float* weight, const float* mean, const float* inv,
                         const Matrix& d_y, const Matrix& d_x, float* d_weight, float* d_bias, Segments segments) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(x.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++)
      context.kernels.layer_norm_backward(x.row(m), weight, mean[m], inv[m], d_y.row(m), x.cols, d_x.row(m));
  });
  if (d_weight != nullptr)
    add_column_sums(context, x.cols, segments, d_weight,
                    [&](int64_t m, int64_t c) { return d_y.row(m)[c] * ((x.row(m)[c] - mean[m]) * inv[m]); });
  if (d_bias != nullptr)
    add_column_sums(context, x.cols, segments, d_bias, [&](int64_t m, int64_t c) { return d_y.row(m)[c]; });
}

}  // namespace oneround::ops
