// Copies the operands of a bf16 product into pairs of depths, rounding to nearest even on the way.
// A weight is converted where it is packed: bf16 unchanged; f32, f16 and quantised blocks to the nearest bf16.
#include "kernels/bf16.h"

#if defined(ONEROUND_ISA_BF16)

#include "kernels/kernel_set.h"
#include "kernels/storage_type.h"
#include "kernels/turn.h"

namespace oneround::ONEROUND_ISA {

namespace {

// 32 f32 to 32 bf16 in their order
inline __m512i round_both(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

inline float half_at(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return _cvtsh_ss(bits);
}

// A block of 32 nibbles has 16 values, d q + m: they are rounded once and then looked up.
inline __m512i q4_1_block(const uint8_t* block) {
  const __m512 q = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512 values = _mm512_fmadd_ps(_mm512_set1_ps(half_at(block)), q, _mm512_set1_ps(half_at(block + 2)));
  const __m512i table = _mm512_castsi256_si512((__m256i)_mm512_cvtneps_pbh(values));
  const __m256i bytes = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 4)));
  const __m256i low = _mm256_and_si256(bytes, _mm256_set1_epi16(15)), high = _mm256_srli_epi16(bytes, 4);
  return _mm512_permutexvar_epi16(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1), table);
}

inline __m512i q8_0_block(const uint8_t* block) {
  const __m512 scale = _mm512_set1_ps(half_at(block));
  const auto sixteen = [&](int at) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 2 + at));
    return _mm512_mul_ps(scale, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
  };
  return round_both(sixteen(0), sixteen(16));
}

// Elements first..first + 31 of a row; first is a multiple of 32 for block types.
inline __m512i thirty_two(int type, const uint8_t* row, int64_t first) {
  switch (type) {
    case kF32: {
      const float* p = reinterpret_cast<const float*>(row + first * 4);
      return round_both(_mm512_loadu_ps(p), _mm512_loadu_ps(p + 16));
    }
    case kBF16:
      return _mm512_loadu_si512(row + first * 2);
    case kF16: {
      const __m256i* p = reinterpret_cast<const __m256i*>(row + first * 2);
      return round_both(_mm512_cvtph_ps(_mm256_loadu_si256(p)), _mm512_cvtph_ps(_mm256_loadu_si256(p + 1)));
    }
    case kQ4_1:
      return q4_1_block(row + first / 32 * 20);
    case kQ8_0:
      return q8_0_block(row + first / 32 * 34);
    default: {
      float values[32];
      dequantize(type, row, first, 32, values);
      return round_both(_mm512_loadu_ps(values), _mm512_loadu_ps(values + 16));
    }
  }
}

// The same with only `count` < 32 elements there; the rest 0.
inline __m512i fewer(int type, const uint8_t* row, int64_t first, int64_t count) {
  float values[32] = {};
  dequantize(type, row, first, count, values);
  return round_both(_mm512_loadu_ps(values), _mm512_loadu_ps(values + 16));
}

inline __m512i up_to_32(int type, const uint8_t* row, int64_t first, int64_t count) {
  return count >= 32 ? thirty_two(type, row, first) : fewer(type, row, first, count);
}

// r[i][k] -> r[k][i] for 16 x 16 pairs
inline void turn_pairs(__m512i (&r)[16]) {
  Vec square[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) square[i] = _mm512_castsi512_ps(r[i]);
  turn_square(square);
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) r[i] = _mm512_castps_si512(square[i]);
}

// Rows k and k + 1 become pairs: 32 columns of each, in their order.
inline void store_pairs(__m512i row0, __m512i row1, int64_t columns, uint32_t* out) {
  const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37,
                                       5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  _mm512_storeu_si512(out, _mm512_permutex2var_epi16(row0, low, row1));
  if (columns > 16) _mm512_storeu_si512(out + 16, _mm512_permutex2var_epi16(row0, high, row1));
}

inline __mmask16 first_lanes(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }

// a[i,k] with k next to k: 16 rows x 16 pairs are turned at a time.
void pack_rows_of_left(const float* a, int64_t row_step, int m, int rows, int64_t count, uint32_t* out) {
  const __mmask16 lanes = first_lanes(rows);
  for (int64_t k = 0; k < count; k += 32) {
    const int64_t here = count - k < 32 ? count - k : 32;
    __m512i r[16];
    for (int i = 0; i < 16; i++) {
      if (i >= m) {
        r[i] = _mm512_setzero_si512();
        continue;
      }
      r[i] = up_to_32(kF32, reinterpret_cast<const uint8_t*>(a + i * row_step), k, here);
    }
    turn_pairs(r);
    const int64_t pairs = (here + 1) / 2;
    for (int64_t p = 0; p < pairs; p++) _mm512_mask_storeu_epi32(out + (k / 2 + p) * rows, lanes, r[p]);
  }
}

// a[i,k] with i next to i
void pack_columns_of_left(const float* a, int64_t k_step, int m, int rows, int64_t count, uint32_t* out) {
  const __mmask16 there = first_lanes(m), lanes = first_lanes(rows);
  for (int64_t k = 0; k < count; k += 2) {
    const __m512 even = _mm512_maskz_loadu_ps(there, a + k * k_step);
    const __m512 odd = k + 1 < count ? _mm512_maskz_loadu_ps(there, a + (k + 1) * k_step) : _mm512_setzero_ps();
    const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(even));
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(odd)), 16);
    _mm512_mask_storeu_epi32(out + k / 2 * rows, lanes, _mm512_or_si512(low, high));
  }
}

}  // namespace

// One of the steps is 1.
void bf16_pack_left(const float* a, int64_t row_step, int64_t k_step, int m, int rows, int64_t count, uint32_t* out) {
  if (k_step == 1)
    pack_rows_of_left(a, row_step, m, rows, count, out);
  else
    pack_columns_of_left(a, k_step, m, rows, count, out);
}

void bf16_pack_rows_as_columns(int type, const uint8_t* const* rows, int n, int64_t first, int64_t count, int width,
                               uint32_t* out) {
  // The rows that are probably packed next come while these are; nothing is read there.
  const int64_t next = n > 1 ? (rows[1] - rows[0]) * width : 0, block = short_block(type);
  for (int j = 0; j < width; j += 16) {
    for (int64_t k = 0; k < count; k += 32) {
      const int64_t here = count - k < 32 ? count - k : 32;
      const int64_t ahead = next + (first + k) / 32 * block;
      __m512i r[16];
      for (int i = 0; block > 0 && i < 16 && j + i < n; i++) __builtin_prefetch(rows[j + i] + ahead);
      for (int i = 0; i < 16; i++)
        r[i] = j + i < n ? up_to_32(type, rows[j + i], first + k, here) : _mm512_setzero_si512();
      turn_pairs(r);
      const int64_t pairs = (here + 1) / 2;
      for (int64_t p = 0; p < pairs; p++) _mm512_storeu_si512(out + (k / 2 + p) * width + j, r[p]);
    }
  }
}

void bf16_pack_rows(int type, const uint8_t* const* rows, int64_t count, int64_t first, int n, int width,
                    uint32_t* out) {
  for (int64_t k = 0; k < count; k += 2) {
    const __m512i row0 = up_to_32(type, rows[k], first, n);
    const __m512i row1 = k + 1 < count ? up_to_32(type, rows[k + 1], first, n) : _mm512_setzero_si512();
    store_pairs(row0, row1, width, out + k / 2 * width);
  }
}

}  // namespace oneround::ONEROUND_ISA

#endif
