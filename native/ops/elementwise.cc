#include <cstring>

#include "ops/cpu_context.h"
#include "ops/entries.h"

namespace oneround::ops {

namespace {
constexpr int64_t kRows = 8;
}

void gelu(void* self, const Matrix& x, const Matrix& y) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(y.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++) context.kernels.gelu(x.row(m), y.cols, y.row(m));
  });
}

void gelu_backward(void* self, const Matrix& x, const Matrix& d_y, const Matrix& d_x) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(d_y.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++)
      context.kernels.gelu_backward(x.row(m), d_y.row(m), d_y.cols, d_x.row(m));
  });
}

void swiglu(void* self, const Matrix& gate, const Matrix& up, const Matrix& y) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(y.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++) context.kernels.swiglu(gate.row(m), up.row(m), y.cols, y.row(m));
  });
}

void swiglu_backward(void* self, const Matrix& gate, const Matrix& up, const Matrix& d_y, const Matrix& d_gate,
                     const Matrix& d_up) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(d_y.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++)
      context.kernels.swiglu_backward(gate.row(m), up.row(m), d_y.row(m), d_y.cols, d_gate.row(m), d_up.row(m));
  });
}

void keep_rounded(void* self, const Matrix& x, uint16_t* kept) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(x.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++) context.kernels.keep_rounded(x.row(m), x.cols, kept + m * x.cols);
  });
}

void take_kept(void* self, const uint16_t* kept, const Matrix& x) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(x.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++) context.kernels.take_kept(kept + m * x.cols, x.cols, x.row(m));
  });
}

void add(void* self, const Matrix& x, const Matrix& y) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(y.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++) context.kernels.add(x.row(m), y.cols, y.row(m));
  });
}

void copy(void* self, const Matrix& x, const Matrix& y) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(y.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++)
      std::memcpy(y.row(m), x.row(m), static_cast<size_t>(y.cols) * sizeof(float));
  });
}

void fill_zero(void*, float* x, int64_t count) { std::memset(x, 0, static_cast<size_t>(count) * sizeof(float)); }

}  // namespace oneround::ops
