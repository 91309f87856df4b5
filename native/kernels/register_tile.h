// The register tile of every matrix product, for whatever a step over k multiplies:
//   for i, j: sum = 0; for parts, k: sum = step(a[i,k], b[k,j], sum); c[i,j] = (accumulate ? c[i,j] : 0) + scale * sum
// The tile keeps all sums in registers; its result for an element does not depend on where the tile lies.
#pragma once

#include "kernels/kernels.h"
#include "kernels/vector.h"

namespace oneround::ONEROUND_ISA {

enum class Layout { packed, row_major, column_major };  // how a[i,k] lies: [k][i]; k next to k; i next to i

// One FMA a step, f32.
struct FloatStep {
  static inline Vec apply(const float* a, Vec b, Vec sum) { return fma(set1(*a), b, sum); }
};

template <int rows, Layout layout>
static inline const float* a_element(const float* a, int64_t row_step, int64_t k_step, int i, int64_t k) {
  if constexpr (layout == Layout::packed) return a + k * rows + i;
  if constexpr (layout == Layout::row_major) return a + i * row_step + k;
  return a + k * k_step + i;
}

template <int rows, int vectors>
static inline void write_tile(const Vec (&sum)[rows][vectors], float* c, int64_t c_stride, float scale,
                              bool accumulate) {
  const Vec factor = set1(scale);
#pragma GCC unroll 16
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      float* at = c + i * c_stride + v * kWidth;
      store(at, accumulate ? fma(factor, sum[i][v], load(at)) : mul(factor, sum[i][v]));
    }
}

// m <= rows, n <= vectors * kWidth; b of each part packed [count][vectors * kWidth] elements.
template <class Step, int rows, int vectors, Layout layout>
static void register_tile(int part_count, const TilePart* parts, int64_t row_step, int64_t k_step, float* c,
                          int64_t c_stride, int m, int n, float scale, bool accumulate, Lines asked) {
  Vec sum[rows][vectors];
#pragma GCC unroll 16
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) sum[i][v] = zero();
  // What the sums are added to is fetched while they are made.
  for (int i = 0; i < m; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) __builtin_prefetch(c + i * c_stride + v * kWidth, 1);
  for (int p = 0; p < part_count; p++) {
    const int64_t count = parts[p].count;
    const float *a = parts[p].a, *b = parts[p].b;
    const auto step = [&](int64_t k) __attribute__((always_inline)) {
      Vec column[vectors];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; v++) column[v] = load(b + (k * vectors + v) * kWidth);
#pragma GCC unroll 16
      for (int i = 0; i < rows; i++) {
        const float* x = a_element<rows, layout>(a, row_step, k_step, i, k);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sum[i][v] = Step::apply(x, column[v], sum[i][v]);
      }
    };
    int64_t k = 0;
    for (; asked.count > 0 && k + asked.every <= count; asked.count--) {
      __builtin_prefetch(*asked.at++, 0, 2);
      for (const int64_t pause = k + asked.every; k < pause; k++) step(k);
    }
    for (; k < count; k++) step(k);
  }
  constexpr int width = vectors * kWidth;
  if (m == rows && n == width) {
    write_tile<rows, vectors>(sum, c, c_stride, scale, accumulate);
    return;
  }
  float edge[rows * width];
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) edge[i * width + j] = c[i * c_stride + j];
  write_tile<rows, vectors>(sum, edge, width, scale, accumulate);
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) c[i * c_stride + j] = edge[i * width + j];
}

// The tile of `rows` rows, kShortRows to `most`.
template <class Step, int vectors, int most = kTileRows>
static inline auto packed_tile_of(int rows) {
  if constexpr (most > kShortRows)
    if (rows < most) return packed_tile_of<Step, vectors, most - 1>(rows);
  return &register_tile<Step, most, vectors, Layout::packed>;
}

template <class Step>
static inline void any_packed_tile(int count, const TilePart* parts, int rows, int vectors, float* c, int64_t c_stride,
                                   int m, int n, float scale, bool accumulate, Lines asked) {
  const auto run = vectors == 2 ? packed_tile_of<Step, 2>(rows) : packed_tile_of<Step, 1>(rows);
  run(count, parts, 1, rows, c, c_stride, m, n, scale, accumulate, asked);
}

}  // namespace oneround::ONEROUND_ISA
