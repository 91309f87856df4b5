// Copies the operands of a product into the order in which the tile reads them, converting storage types on the way.
// The obvious loops are in kernels.h beside each entry.
#include <cstring>

#include "kernels/kernel_set.h"
#include "kernels/storage_type.h"
#include "kernels/vector.h"

namespace oneround::ONEROUND_ISA {

namespace {

#if defined(ONEROUND_ISA_AVX512) || defined(ONEROUND_ISA_AVX2)
// out[k][0..7] = rows[0..7][k] for eight k
inline void transpose_8x8(const float* const* rows, int64_t k, float* out, int64_t out_stride) {
  __m256 r[8], t[8];
  for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(rows[i] + k);
  for (int i = 0; i < 4; i++) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++) {
    r[4 * i + 0] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
    r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    _mm256_storeu_ps(out + i * out_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(out + (i + 4) * out_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}
#endif

// out[k * out_stride + i] = rows[i][k], i < n
void transpose(const float* const* rows, int n, int64_t count, float* out, int64_t out_stride) {
  int i = 0;
#if defined(ONEROUND_ISA_AVX512) || defined(ONEROUND_ISA_AVX2)
  for (; i + 8 <= n; i += 8) {
    int64_t k = 0;
    for (; k + 8 <= count; k += 8) transpose_8x8(rows + i, k, out + k * out_stride + i, out_stride);
    for (; k < count; k++)
      for (int j = i; j < i + 8; j++) out[k * out_stride + j] = rows[j][k];
  }
#endif
  if (i < n)
    for (int64_t k = 0; k < count; k++)
      for (int j = i; j < n; j++) out[k * out_stride + j] = rows[j][k];
}

void zero_columns(int first, int width, int64_t count, float* out) {
  if (first == width) return;
  for (int64_t k = 0; k < count; k++)
    for (int j = first; j < width; j++) out[k * width + j] = 0.0f;
}

}  // namespace

void pack_a(const float* a, int64_t row_step, int64_t k_step, int m, int rows, int64_t count, float* out) {
  if (k_step == 1) {
    const float* source[kTileRows] = {};
    for (int i = 0; i < m; i++) source[i] = a + i * row_step;
    transpose(source, m, count, out, rows);
  } else {
    for (int64_t k = 0; k < count; k++)
      for (int i = 0; i < m; i++) out[k * rows + i] = a[i * row_step + k * k_step];
  }
  zero_columns(m, rows, count, out);
}

void pack_rows_as_columns(int type, const uint8_t* const* rows, int n, int64_t first, int64_t count, int width,
                          float* out, float* temporary) {
  const float* source[2 * kWidth] = {};
  for (int j = 0; j < n; j++) {
    if (type == kF32 && reinterpret_cast<uintptr_t>(rows[j]) % 4 == 0) {
      source[j] = reinterpret_cast<const float*>(rows[j]) + first;
    } else {
      float* row = temporary + j * count;
      dequantize(type, rows[j], first, count, row);
      source[j] = row;
    }
  }
  transpose(source, n, count, out, width);
  zero_columns(n, width, count, out);
}

void pack_rows(int type, const uint8_t* const* rows, int64_t count, int64_t first, int n, int width, float* out) {
  for (int64_t k = 0; k < count; k++) dequantize(type, rows[k], first, n, out + k * width);
  zero_columns(n, width, count, out);
}

}  // namespace oneround::ONEROUND_ISA
