// The register tile of every matrix product.
//   for i, j: sum = 0; for k: sum = fma(a[i,k], b[k,j], sum); c[i,j] = (accumulate ? c[i,j] : 0) + scale * sum
// The tile keeps all sums in registers; its result for an element does not depend on where the tile lies.
#include "kernels/kernel_set.h"
#include "kernels/vector.h"

namespace oneround::ONEROUND_ISA {

namespace {

enum class Layout { packed, row_major, column_major };  // how a[i,k] lies: [k][i]; k next to k; i next to i

template <Layout layout>
inline float a_element(const float* a, int64_t row_step, int64_t k_step, int i, int64_t k) {
  if constexpr (layout == Layout::packed) return a[k * kTileRows + i];
  if constexpr (layout == Layout::row_major) return a[i * row_step + k];
  return a[k * k_step + i];
}

template <int vectors, Layout layout>
inline void tile_sums(int64_t count, const float* a, int64_t row_step, int64_t k_step, const float* b,
                      Vec (&sum)[kTileRows][vectors]) {
#pragma GCC unroll 16
  for (int i = 0; i < kTileRows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) sum[i][v] = zero();
  for (int64_t k = 0; k < count; k++) {
    Vec column[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) column[v] = load(b + (k * vectors + v) * kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < kTileRows; i++) {
      const Vec x = set1(a_element<layout>(a, row_step, k_step, i, k));
#pragma GCC unroll 2
      for (int v = 0; v < vectors; v++) sum[i][v] = fma(x, column[v], sum[i][v]);
    }
  }
}

template <int vectors>
inline void write_tile(const Vec (&sum)[kTileRows][vectors], float* c, int64_t c_stride, float scale, bool accumulate) {
  const Vec factor = set1(scale);
#pragma GCC unroll 16
  for (int i = 0; i < kTileRows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      float* at = c + i * c_stride + v * kWidth;
      store(at, accumulate ? fma(factor, sum[i][v], load(at)) : mul(factor, sum[i][v]));
    }
}

template <int vectors, Layout layout>
void whole_or_part(int64_t count, const float* a, int64_t row_step, int64_t k_step, const float* b, float* c,
                   int64_t c_stride, int m, int n, float scale, bool accumulate) {
  Vec sum[kTileRows][vectors];
  tile_sums<vectors, layout>(count, a, row_step, k_step, b, sum);
  constexpr int width = vectors * kWidth;
  if (m == kTileRows && n == width) {
    write_tile<vectors>(sum, c, c_stride, scale, accumulate);
    return;
  }
  float edge[kTileRows * width];
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) edge[i * width + j] = c[i * c_stride + j];
  write_tile<vectors>(sum, edge, width, scale, accumulate);
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) c[i * c_stride + j] = edge[i * width + j];
}

template <int vectors>
void any_layout(int64_t count, const float* a, int64_t row_step, int64_t k_step, const float* b, float* c,
                int64_t c_stride, int m, int n, float scale, bool accumulate) {
  if (row_step == 1 && k_step == kTileRows)
    whole_or_part<vectors, Layout::packed>(count, a, row_step, k_step, b, c, c_stride, m, n, scale, accumulate);
  else if (k_step == 1)
    whole_or_part<vectors, Layout::row_major>(count, a, row_step, k_step, b, c, c_stride, m, n, scale, accumulate);
  else
    whole_or_part<vectors, Layout::column_major>(count, a, row_step, k_step, b, c, c_stride, m, n, scale, accumulate);
}

}  // namespace

// Unpacked layouts read kTileRows rows: the caller packs where fewer are there.
void tile(int64_t count, const float* a, int64_t row_step, int64_t k_step, const float* b, int vectors, float* c,
          int64_t c_stride, int m, int n, float scale, bool accumulate) {
  if (vectors == 2)
    any_layout<2>(count, a, row_step, k_step, b, c, c_stride, m, n, scale, accumulate);
  else
    any_layout<1>(count, a, row_step, k_step, b, c, c_stride, m, n, scale, accumulate);
}

}  // namespace oneround::ONEROUND_ISA
