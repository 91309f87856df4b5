#include "ops/cpu_context.h"
#include "ops/entries.h"

namespace oneround::ops {

namespace {

constexpr int64_t kRows = 8;
constexpr int64_t kColumns = 64;

// d_weight[c] += sum over segments of (sum over the segment's rows of d_y x inv_rms)
void weight_gradient(CpuContext& context, const Matrix& x, const float* inv_rms, const Matrix& d_y, float* d_weight,
                     Segments segments) {
  context.for_row_blocks(x.cols, kColumns, [&](int64_t first, int64_t count, int) {
    for (int64_t s = 0; s < segments.count; s++) {
      float sum[kColumns] = {};
      const Segment& segment = segments.data[s];
      for (int64_t m = segment.first; m < segment.first + segment.count; m++)
        for (int64_t c = 0; c < count; c++) sum[c] += d_y.row(m)[first + c] * (x.row(m)[first + c] * inv_rms[m]);
      for (int64_t c = 0; c < count; c++) d_weight[first + c] += sum[c];
    }
  });
}

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
  if (d_weight != nullptr) weight_gradient(context, x, inv_rms, d_y, d_weight, segments);
}

}  // namespace oneround::ops
