// Products inside one worker: attention's.
#include "ops/matmul.h"
#include "ops/rows_ahead.h"

namespace oneround {

namespace {
constexpr int kMaxWidth = 32;
constexpr int kF32 = static_cast<int>(Type::f32);
}  // namespace

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

void WorkerProducts::pack_rows_as_columns(const uint8_t* const* rows, int n, int64_t first, int64_t count,
                                          float* out) const {
  const int width = static_cast<int>(context.width());
  if (bf16)
    context.kernels.bf16_pack_rows_as_columns(kF32, rows, n, first, count, width, reinterpret_cast<uint32_t*>(out));
  else
    context.kernels.pack_rows_as_columns(kF32, rows, n, first, count, width, out, scratch.converted);
}

void WorkerProducts::pack_rows(const uint8_t* const* rows, int64_t count, int64_t first_column, int n,
                               float* out) const {
  const int width = static_cast<int>(context.width());
  if (bf16)
    context.kernels.bf16_pack_rows(kF32, rows, count, first_column, n, width, reinterpret_cast<uint32_t*>(out));
  else
    context.kernels.pack_rows(kF32, rows, count, first_column, n, width, out, 0);
}

void WorkerProducts::pack_panels(const RowSource& b, int64_t first, int64_t count, int64_t first_column, int64_t n,
                                 float* out) const {
  const int64_t width = context.width();
  for (int64_t j = 0; j < n; j += width) {
    const int columns = static_cast<int>(std::min(width, n - j));
    float* panel = out + j * units(count);
    const uint8_t* rows[std::max<int64_t>(kMaxWidth, kDepth)];
    if (b.rows_are_columns) {
      for (int64_t at = 0; at < columns; at++) rows[at] = b.row(first_column + j + at);
      pack_rows_as_columns(rows, columns, first, count, panel);
      continue;
    }
    for (int64_t done = 0; done < count; done += kDepth) {
      const int64_t part = std::min(kDepth, count - done);
      for (int64_t k = 0; k < part; k++) rows[k] = b.row(first + done + k);
      pack_rows(rows, part, first_column + j, columns, panel + units(done) * width);
    }
  }
}

namespace {

// Rows of a as a tile takes them.
struct LeftPanel {
  const float* a;
  int64_t row_step, k_step;
  int height, rows;
};

// In bf16 every panel is packed; in f32 only one that has fewer rows than a tile.
LeftPanel left_panel(const WorkerProducts& products, const LeftPanel& panel, int64_t count) {
  const auto& [context, scratch, bf16, ahead] = products;
  const auto& [a, row_step, k_step, height, rows] = panel;
  if (bf16)
    context.kernels.bf16_pack_left(a, row_step, k_step, rows, height, count,
                                   reinterpret_cast<uint32_t*>(scratch.a_edge));
  else if (rows < height)
    context.kernels.pack_a(a, row_step, k_step, rows, height, count, scratch.a_edge);
  else
    return panel;
  return {scratch.a_edge, 1, height, height, rows};
}

// Columns and depths that `rows` rows from i on need.
struct Reach {
  int64_t n;
  int64_t start, count;
};
Reach reach_of(Causal causal, int64_t i, int64_t rows, int64_t n, int64_t count) {
  const int64_t seen = causal.first + i + rows;
  switch (causal.cut) {
    case Causal::Cut::columns:
      return {std::min(n, seen), 0, count};
    case Causal::Cut::to_row:
      return {n, 0, std::min(count, seen)};
    case Causal::Cut::from_row: {
      const int64_t start = std::max<int64_t>(0, i - causal.first) / 2 * 2;  // depths are packed in pairs
      return {n, start, count - start};
    }
    case Causal::Cut::none:
      break;
  }
  return {n, 0, count};
}

}  // namespace

void WorkerProducts::multiply(int64_t m, int64_t n, int64_t count, const float* a, int64_t a_row_step, int64_t a_k_step,
                              const float* packed, int64_t packed_count, float* c, int64_t c_stride, float scale,
                              bool accumulate, Causal causal) const {
  const Kernels& kernels = context.kernels;
  const int64_t width = context.width();
  for (int64_t i = 0; i < m;) {
    const int tall = m - i > kernels.short_rows ? kernels.tile_rows : kernels.short_rows;
    const int rows = static_cast<int>(std::min<int64_t>(tall, m - i));
    const Reach reach = reach_of(causal, i, rows, n, count);
    const LeftPanel left =
        left_panel(*this, {a + i * a_row_step + reach.start * a_k_step, a_row_step, a_k_step, tall, rows}, reach.count);
    for (int64_t j = 0; j < reach.n; j += width) {
      const float* right = packed + j * units(packed_count) + units(reach.start) * width;
      float* to = c + i * c_stride + j;
      const int columns = static_cast<int>(std::min(width, n - j));
      if (bf16) {
        const TilePart part{units(reach.count), left.a, right};
        kernels.bf16_tile(1, &part, tall, 2, to, c_stride, rows, columns, scale, accumulate,
                          ahead != nullptr ? ahead->next() : Lines{});
      } else {
        kernels.tile(reach.count, left.a, left.row_step, left.k_step, tall, right, 2, to, c_stride, rows, columns,
                     scale, accumulate);
      }
    }
    i += rows;
  }
}

}  // namespace oneround
