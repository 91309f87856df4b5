// Rows become columns, a square of vectors at a time: out[k][i] = rows[i][k].
#pragma once

#include "kernels/vector.h"

namespace oneround::ONEROUND_ISA {

#if defined(ONEROUND_ISA_AVX512)

// r[i][k] -> r[k][i] for 16 x 16 of 32 bits
static inline void turn_square(Vec (&r)[16]) {
  __m512i t[16], s[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) s[i] = _mm512_castps_si512(r[i]);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(s[i], s[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(s[i], s[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    s[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    s[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    s[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    s[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // s[4 g + c] holds, in each 128-bit lane l, column 4 l + c of rows 4 g .. 4 g + 3
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) {
    t[c] = _mm512_shuffle_i32x4(s[c], s[4 + c], 0x88);
    t[4 + c] = _mm512_shuffle_i32x4(s[c], s[4 + c], 0xdd);
    t[8 + c] = _mm512_shuffle_i32x4(s[8 + c], s[12 + c], 0x88);
    t[12 + c] = _mm512_shuffle_i32x4(s[8 + c], s[12 + c], 0xdd);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) {
    r[c] = _mm512_castsi512_ps(_mm512_shuffle_i32x4(t[c], t[8 + c], 0x88));
    r[8 + c] = _mm512_castsi512_ps(_mm512_shuffle_i32x4(t[c], t[8 + c], 0xdd));
    r[4 + c] = _mm512_castsi512_ps(_mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0x88));
    r[12 + c] = _mm512_castsi512_ps(_mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0xdd));
  }
}

#elif defined(ONEROUND_ISA_AVX2)

// r[i][k] -> r[k][i] for 8 x 8
static inline void turn_square(Vec (&r)[8]) {
  Vec t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; i++) {
    r[4 * i + 0] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
    r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) r[i] = t[i];
}

#else

static inline void turn_square(Vec (&r)[kWidth]) {
  for (int i = 0; i < kWidth; i++)
    for (int k = 0; k < i; k++) {
      const float kept = r[i][k];
      r[i][k] = r[k][i];
      r[k][i] = kept;
    }
}

#endif

}  // namespace oneround::ONEROUND_ISA
