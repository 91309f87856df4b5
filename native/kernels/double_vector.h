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
// The tile of products_to_grid, which holds its part of the grid beside the sums.
#if defined(ONEROUND_ISA_AVX512)
constexpr int kGridRows = 4, kGridVectors = 3;
#else
constexpr int kGridRows = 3, kGridVectors = 2;
#endif
constexpr int kGridColumns = kGridVectors * kDoubles;

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
// The first n numbers, and zeros behind them; all for n >= kDoubles, none for n <= 0.
static inline Doubles load_some(const double* p, int64_t n) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>(n >= kDoubles ? 0xff : n <= 0 ? 0 : (1 << n) - 1), p);
}
static inline void store_some(double* p, Doubles v, int64_t n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(n >= kDoubles ? 0xff : n <= 0 ? 0 : (1 << n) - 1), v);
}
// The numbers from lane `skip` on, and zeros before them; all for skip <= 0, none for skip >= kDoubles.
static inline Doubles load_behind(const double* p, int64_t skip) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>(skip >= kDoubles ? 0 : skip <= 0 ? 0xff : 0xff << skip), p);
}
static inline void store_behind(double* p, Doubles v, int64_t skip) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(skip >= kDoubles ? 0 : skip <= 0 ? 0xff : 0xff << skip), v);
}
static inline Longs set_longs(int64_t x) { return _mm512_set1_epi64(x); }
static inline Longs load_longs(const int64_t* p) { return _mm512_loadu_si512(p); }
static inline void store_longs(int64_t* p, Longs v) { _mm512_storeu_si512(p, v); }
static inline Longs add_longs(Longs a, Longs b) { return _mm512_add_epi64(a, b); }
static inline Longs bits_of(Doubles v) { return _mm512_castpd_si512(v); }
#elif defined(ONEROUND_ISA_AVX2)
using Doubles = __m256d;
using Longs = __m256i;
static inline Doubles set_doubles(double x) { return _mm256_set1_pd(x); }
static inline Doubles load_doubles(const double* p) { return _mm256_loadu_pd(p); }
static inline void store_doubles(double* p, Doubles v) { _mm256_storeu_pd(p, v); }
static inline Doubles fma_exact(Doubles a, Doubles b, Doubles c) { return _mm256_fmadd_pd(a, b, c); }
static inline Doubles widen(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
static inline Doubles add_doubles(Doubles a, Doubles b) { return _mm256_add_pd(a, b); }
static inline Doubles mul_doubles(Doubles a, Doubles b) { return _mm256_mul_pd(a, b); }
static inline __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
static inline Doubles load_some(const double* p, int64_t n) { return _mm256_maskload_pd(p, first_lanes(n)); }
static inline void store_some(double* p, Doubles v, int64_t n) { _mm256_maskstore_pd(p, first_lanes(n), v); }
static inline __m256i lanes_behind(int64_t skip) {
  return _mm256_cmpgt_epi64(_mm256_setr_epi64x(1, 2, 3, 4), _mm256_set1_epi64x(skip));
}
static inline Doubles load_behind(const double* p, int64_t skip) { return _mm256_maskload_pd(p, lanes_behind(skip)); }
static inline void store_behind(double* p, Doubles v, int64_t skip) { _mm256_maskstore_pd(p, lanes_behind(skip), v); }
static inline Longs set_longs(int64_t x) { return _mm256_set1_epi64x(x); }
static inline Longs load_longs(const int64_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
static inline void store_longs(int64_t* p, Longs v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
static inline Longs add_longs(Longs a, Longs b) { return _mm256_add_epi64(a, b); }
static inline Longs bits_of(Doubles v) { return _mm256_castpd_si256(v); }
#else
typedef double Doubles __attribute__((vector_size(16)));
typedef uint64_t Longs __attribute__((vector_size(16)));  // sums of integers may wrap on their way
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
static inline Doubles load_some(const double* p, int64_t n) { return Doubles{n > 0 ? p[0] : 0.0, n > 1 ? p[1] : 0.0}; }
static inline void store_some(double* p, Doubles v, int64_t n) {
  if (n > 0) p[0] = v[0];
  if (n > 1) p[1] = v[1];
}
static inline Doubles load_behind(const double* p, int64_t skip) {
  return Doubles{skip < 1 ? p[0] : 0.0, skip < 2 ? p[1] : 0.0};
}
static inline void store_behind(double* p, Doubles v, int64_t skip) {
  if (skip < 1) p[0] = v[0];
  if (skip < 2) p[1] = v[1];
}
static inline Longs set_longs(int64_t x) { return Longs{static_cast<uint64_t>(x), static_cast<uint64_t>(x)}; }
static inline Longs load_longs(const int64_t* p) {
  Longs v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
static inline void store_longs(int64_t* p, Longs v) { std::memcpy(p, &v, sizeof v); }
static inline Longs add_longs(Longs a, Longs b) { return a + b; }
static inline Longs bits_of(Doubles v) {
  Longs bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits;
}
#endif

}  // namespace oneround::ONEROUND_ISA
