// One vector of doubles for each instruction set, as wide as the float vector of vector.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/vector.h"

namespace oneround::ONEROUND_ISA {

constexpr int kDoubles = kWidth / 2;
// The register tile of product_tile: rows x columns of sums, with room left for one row of b.
#if defined(ONEROUND_ISA_AVX512)
constexpr int kProductRows = 8, kProductVectors = 3;
#elif defined(ONEROUND_ISA_AVX2)
constexpr int kProductRows = 4, kProductVectors = 3;
#else
constexpr int kProductRows = 4, kProductVectors = 2;
#endif
constexpr int kProductColumns = kProductVectors * kDoubles;

#if defined(ONEROUND_ISA_AVX512)
using Doubles = __m512d;
using Longs = __m512i;
static inline Doubles set_doubles(double x) { return _mm512_set1_pd(x); }
static inline Doubles load_doubles(const double* p) { return _mm512_loadu_pd(p); }
static inline void store_doubles(double* p, Doubles v) { _mm512_storeu_pd(p, v); }
static inline Doubles fma_exact(Doubles a, Doubles b, Doubles c) { return _mm512_fmadd_pd(a, b, c); }
static inline Doubles widen(const float* p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
static inline Doubles add_doubles(Doubles a, Doubles b) { return _mm512_add_pd(a, b); }
static inline Doubles mul_doubles(Doubles a, Doubles b) { return _mm512_mul_pd(a, b); }
static inline void add_bits(int64_t* p, Doubles v, int64_t less) {
  const Longs sum = _mm512_add_epi64(_mm512_loadu_si512(p), _mm512_castpd_si512(v));
  _mm512_storeu_si512(p, _mm512_sub_epi64(sum, _mm512_set1_epi64(less)));
}
#elif defined(ONEROUND_ISA_AVX2)
using Doubles = __m256d;
static inline Doubles set_doubles(double x) { return _mm256_set1_pd(x); }
static inline Doubles load_doubles(const double* p) { return _mm256_loadu_pd(p); }
static inline void store_doubles(double* p, Doubles v) { _mm256_storeu_pd(p, v); }
static inline Doubles fma_exact(Doubles a, Doubles b, Doubles c) { return _mm256_fmadd_pd(a, b, c); }
static inline Doubles widen(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
static inline Doubles add_doubles(Doubles a, Doubles b) { return _mm256_add_pd(a, b); }
static inline Doubles mul_doubles(Doubles a, Doubles b) { return _mm256_mul_pd(a, b); }
static inline void add_bits(int64_t* p, Doubles v, int64_t less) {
  __m256i* const at = reinterpret_cast<__m256i*>(p);
  const __m256i sum = _mm256_add_epi64(_mm256_loadu_si256(at), _mm256_castpd_si256(v));
  _mm256_storeu_si256(at, _mm256_sub_epi64(sum, _mm256_set1_epi64x(less)));
}
#else
typedef double Doubles __attribute__((vector_size(16)));
static inline Doubles set_doubles(double x) { return Doubles{x, x}; }
static inline Doubles load_doubles(const double* p) {
  Doubles v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
static inline void store_doubles(double* p, Doubles v) { std::memcpy(p, &v, sizeof v); }
// Where a * b is exact in double, this is the fused operation bit for bit.
static inline Doubles fma_exact(Doubles a, Doubles b, Doubles c) { return a * b + c; }
static inline Doubles widen(const float* p) { return Doubles{static_cast<double>(p[0]), static_cast<double>(p[1])}; }
static inline Doubles add_doubles(Doubles a, Doubles b) { return a + b; }
static inline Doubles mul_doubles(Doubles a, Doubles b) { return a * b; }
static inline void add_bits(int64_t* p, Doubles v, int64_t less) {
  int64_t bits[2];
  std::memcpy(bits, &v, sizeof bits);
  for (int i = 0; i < 2; i++)
    p[i] = static_cast<int64_t>(static_cast<uint64_t>(p[i]) + static_cast<uint64_t>(bits[i]) -
                                static_cast<uint64_t>(less));
}
#endif

}  // namespace oneround::ONEROUND_ISA
