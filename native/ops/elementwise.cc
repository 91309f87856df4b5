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
    for (int64_t m = first; m < first + count; m++)
      context.kernels.keep_rounded(x.row(m), x.cols, kept + m * x.cols, x.row(m));
  });
}

void take_kept(void* self, const uint16_t* kept, const Matrix& x) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(x.rows, kRows, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++) context.kernels.take_kept(kept + m * x.cols, x.cols, x.row(m));
  });
}

namespace {

constexpr int64_t kPiece = 256;  // of a row, in f32 beside what it is rounded to

// Calls body(row, first column, columns, buffer of gate, buffer of up) piece by piece.
template <class Body>
void for_pieces(CpuContext& context, const Matrix& shape, const Body& body) {
  context.for_row_blocks(shape.rows, kRows, [&](int64_t first, int64_t count, int) {
    float gate[kPiece], up[kPiece];
    for (int64_t m = first; m < first + count; m++)
      for (int64_t k = 0; k < shape.cols; k += kPiece) body(m, k, std::min(kPiece, shape.cols - k), gate, up);
  });
}

// The same of gate and up as they were kept, which the buffers hold then.
template <class Body>
void for_kept_pieces(CpuContext& context, const uint16_t* kept_gate, const uint16_t* kept_up, const Matrix& shape,
                     const Body& body) {
  for_pieces(context, shape, [&](int64_t m, int64_t k, int64_t count, float* gate, float* up) {
    const int64_t at = m * shape.cols + k;
    context.kernels.take_kept(kept_gate + at, count, gate);
    context.kernels.take_kept(kept_up + at, count, up);
    body(m, k, count, gate, up);
  });
}

}  // namespace

void swiglu_keep(void* self, const Matrix& gate, const Matrix& up, uint16_t* kept_gate, uint16_t* kept_up,
                 const Matrix& y) {
  CpuContext& context = cpu(self);
  const Kernels& kernels = context.kernels;
  for_pieces(context, y, [&](int64_t m, int64_t k, int64_t count, float* g, float* u) {
    const int64_t at = m * y.cols + k;
    kernels.keep_rounded(gate.row(m) + k, count, kept_gate + at, g);
    kernels.keep_rounded(up.row(m) + k, count, kept_up + at, u);
    kernels.swiglu(g, u, count, y.row(m) + k);
  });
}

void swiglu_kept(void* self, const uint16_t* kept_gate, const uint16_t* kept_up, const Matrix& y) {
  CpuContext& context = cpu(self);
  for_kept_pieces(context, kept_gate, kept_up, y,
                  [&](int64_t m, int64_t k, int64_t count, const float* gate, const float* up) {
                    context.kernels.swiglu(gate, up, count, y.row(m) + k);
                  });
}

void swiglu_kept_backward(void* self, const uint16_t* kept_gate, const uint16_t* kept_up, const Matrix& d_y,
                          const Matrix& d_gate, const Matrix& d_up) {
  CpuContext& context = cpu(self);
  for_kept_pieces(
      context, kept_gate, kept_up, d_y, [&](int64_t m, int64_t k, int64_t count, const float* gate, const float* up) {
        context.kernels.swiglu_backward(gate, up, d_y.row(m) + k, count, d_gate.row(m) + k, d_up.row(m) + k);
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
