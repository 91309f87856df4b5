// Products inside one worker, in f32: attention's.
#include "ops/matmul.h"

namespace oneround {

namespace {
constexpr int kMaxWidth = 32;
}

RowSource columns_of(const Weight& w) {
  return {static_cast<const uint8_t*>(w.data), static_cast<int>(w.type), row_bytes(w.type, w.cols),
          w.interleaved_heads == 0 ? nullptr : &w, true};
}
RowSource rows_of(const Weight& w) {
  RowSource source = columns_of(w);
  source.rows_are_columns = false;
  return source;
}
RowSource columns_of(const Matrix& m) {
  return {reinterpret_cast<const uint8_t*>(m.data), static_cast<int>(Type::f32), m.stride * 4, nullptr, true};
}
RowSource rows_of(const Matrix& m) {
  return {reinterpret_cast<const uint8_t*>(m.data), static_cast<int>(Type::f32), m.stride * 4, nullptr, false};
}

void pack_panels(const CpuContext& context, const WorkerScratch& scratch, const RowSource& b, int64_t first,
                 int64_t count, int64_t first_column, int64_t n, float* out) {
  const int64_t width = context.width();
  for (int64_t j = 0; j < n; j += width) {
    const int columns = static_cast<int>(std::min(width, n - j));
    float* panel = out + j * count;
    if (b.rows_are_columns) {
      const uint8_t* rows[kMaxWidth];
      for (int64_t at = 0; at < columns; at++) rows[at] = b.row(first_column + j + at);
      context.kernels.pack_rows_as_columns(b.type, rows, columns, first, count, static_cast<int>(width), panel,
                                           scratch.converted);
    } else {
      for (int64_t done = 0; done < count; done += kDepth) {
        const uint8_t* rows[kDepth];
        const int64_t part = std::min(kDepth, count - done);
        for (int64_t k = 0; k < part; k++) rows[k] = b.row(first + done + k);
        context.kernels.pack_rows(b.type, rows, part, first_column + j, columns, static_cast<int>(width),
                                  panel + done * width);
      }
    }
  }
}

void multiply_packed(const CpuContext& context, const WorkerScratch& scratch, int64_t m, int64_t n, int64_t count,
                     const float* a, int64_t a_row_step, int64_t a_k_step, const float* packed, int64_t packed_count,
                     float* c, int64_t c_stride, float scale, bool accumulate) {
  const Kernels& kernels = context.kernels;
  const int64_t width = context.width();
  for (int64_t i = 0; i < m;) {
    const int tall = m - i > kernels.short_rows ? kernels.tile_rows : kernels.short_rows;
    const int rows = static_cast<int>(std::min<int64_t>(tall, m - i));
    const float* panel = a + i * a_row_step;
    int64_t row_step = a_row_step, k_step = a_k_step;
    if (rows < tall) {
      kernels.pack_a(panel, row_step, k_step, rows, tall, count, scratch.a_edge);
      panel = scratch.a_edge;
      row_step = 1;
      k_step = tall;
    }
    for (int64_t j = 0; j < n; j += width)
      kernels.tile(count, panel, row_step, k_step, tall, packed + j * packed_count, 2, c + i * c_stride + j, c_stride,
                   rows, static_cast<int>(std::min(width, n - j)), scale, accumulate);
    i += rows;
  }
}

}  // namespace oneround
