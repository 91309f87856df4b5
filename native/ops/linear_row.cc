// y[n] (+)= scale * sum_k x[k] w[n,k] for one row x: every weight is converted and used once.
#include "ops/cpu_context.h"
#include "ops/entries.h"

namespace oneround::ops {

namespace {

constexpr int64_t kOutputs = 16;   // outputs of one task
constexpr int64_t kPart = 4096;    // inputs converted at a time; fits the packed panels' scratch of every set
constexpr int64_t kColumns = 256;  // transposed: columns of one task; whole blocks of every storage type

// Rows of w are outputs.
void by_rows(CpuContext& context, const float* x, const Weight& w, float* y, float scale, bool accumulate) {
  context.for_row_blocks(w.rows, kOutputs, [&](int64_t first, int64_t count, int worker) {
    float* converted = context.scratch[static_cast<size_t>(worker)].b;
    for (int64_t n = first; n < first + count; n++) {
      float sum = 0.0f;
      for (int64_t k = 0; k < w.cols; k += kPart) {
        const int64_t length = std::min(kPart, w.cols - k);
        context.kernels.dequantize(static_cast<int>(w.type), w.row(n), k, length, converted);
        sum += context.kernels.dot(x + k, converted, length);
      }
      y[n] = accumulate ? y[n] + scale * sum : scale * sum;
    }
  });
}

// Columns of w are outputs: rows are added up, each times its input.
void by_columns(CpuContext& context, const float* x, const Weight& w, float* y, float scale, bool accumulate) {
  context.for_row_blocks(w.cols, kColumns, [&](int64_t first, int64_t count, int worker) {
    float* converted = context.scratch[static_cast<size_t>(worker)].b;
    float sum[kColumns] = {};
    for (int64_t k = 0; k < w.rows; k++) {
      context.kernels.dequantize(static_cast<int>(w.type), w.row(k), first, count, converted);
      context.kernels.multiply_add(converted, x[k], count, sum);
    }
    for (int64_t c = 0; c < count; c++) y[first + c] = accumulate ? y[first + c] + scale * sum[c] : scale * sum[c];
  });
}

}  // namespace

void linear_row(void* self, const float* x, const Weight& w, float* y, float scale, bool accumulate) {
  if (w.transposed)
    by_columns(cpu(self), x, w, y, scale, accumulate);
  else
    by_rows(cpu(self), x, w, y, scale, accumulate);
}

}  // namespace oneround::ops
