// One float vector for each instruction set. Everything here is static, in the namespace of its set.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(ONEROUND_ISA_AVX512) || defined(ONEROUND_ISA_AVX2)
// GCC 12 warns about its own _mm512_undefined_ps (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

namespace oneround::ONEROUND_ISA {

#if defined(ONEROUND_ISA_AVX512)

constexpr int kWidth = 16;
constexpr int kTileRows = 14;
constexpr int kShortRows = 8;
using Vec = __m512;
static inline Vec zero() { return _mm512_setzero_ps(); }
static inline Vec set1(float x) { return _mm512_set1_ps(x); }
static inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
static inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
static inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
static inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
static inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
static inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
static inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
static inline Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
static inline Vec square_root(Vec a) { return _mm512_sqrt_ps(a); }
static inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline Vec round_even(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// 2^n for whole n in [-126, 127]
static inline Vec power_of_two(Vec n) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}

#elif defined(ONEROUND_ISA_AVX2)

constexpr int kWidth = 8;
constexpr int kTileRows = 6;
constexpr int kShortRows = 4;
using Vec = __m256;
static inline Vec zero() { return _mm256_setzero_ps(); }
static inline Vec set1(float x) { return _mm256_set1_ps(x); }
static inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
static inline void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
static inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
static inline Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
static inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
static inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
static inline Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
static inline Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
static inline Vec square_root(Vec a) { return _mm256_sqrt_ps(a); }
static inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline Vec round_even(Vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline Vec power_of_two(Vec n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}

#else

constexpr int kWidth = 4;
constexpr int kTileRows = 4;
constexpr int kShortRows = 2;
typedef float Vec __attribute__((vector_size(16)));
typedef int32_t IntVec __attribute__((vector_size(16)));
static inline Vec set1(float x) { return Vec{x, x, x, x}; }
static inline Vec zero() { return set1(0.0f); }
static inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
static inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
static inline Vec add(Vec a, Vec b) { return a + b; }
static inline Vec sub(Vec a, Vec b) { return a - b; }
static inline Vec mul(Vec a, Vec b) { return a * b; }
static inline Vec div(Vec a, Vec b) { return a / b; }
static inline Vec max(Vec a, Vec b) { return a > b ? a : b; }
static inline Vec min(Vec a, Vec b) { return a < b ? a : b; }
static inline Vec square_root(Vec a) {
  for (int i = 0; i < kWidth; i++) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
// Baseline x86-64 has no fused multiply-add: two roundings here, one in the other sets.
static inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
// Adding and taking away 1.5 * 2^23 rounds to the nearest whole number for |a| < 2^22.
static inline Vec round_even(Vec a) { return (a + set1(12582912.0f)) - set1(12582912.0f); }
static inline Vec power_of_two(Vec n) {
  IntVec e = (__builtin_convertvector(n, IntVec) + 127) << 23;
  Vec v;
  std::memcpy(&v, &e, sizeof v);
  return v;
}

#endif

// Loads n < kWidth floats, the rest 0; sum_lanes adds halves, always in the same order.
#if defined(ONEROUND_ISA_AVX512)

static inline __mmask16 first_of(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
static inline Vec load_part(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first_of(n), p); }
static inline void store_part(float* p, Vec v, int64_t n) { _mm512_mask_storeu_ps(p, first_of(n), v); }
static inline Vec keep_part(Vec v, int64_t n) { return _mm512_maskz_mov_ps(first_of(n), v); }
static inline float sum_lanes(Vec v) {
  const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
static inline float max_lanes(Vec v) {
  const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(v), high);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#else

static inline Vec load_part(const float* p, int64_t n) {
  float buffer[kWidth] = {};
  std::memcpy(buffer, p, static_cast<size_t>(n) * sizeof(float));
  return load(buffer);
}
static inline void store_part(float* p, Vec v, int64_t n) {
  float buffer[kWidth];
  store(buffer, v);
  std::memcpy(p, buffer, static_cast<size_t>(n) * sizeof(float));
}
// The first n lanes, the rest 0.
static inline Vec keep_part(Vec v, int64_t n) {
  float buffer[kWidth];
  store(buffer, v);
  return load_part(buffer, n);
}
static inline float sum_lanes(Vec v) {
  float lane[kWidth];
  store(lane, v);
  for (int step = kWidth / 2; step > 0; step /= 2)
    for (int i = 0; i < step; i++) lane[i] += lane[i + step];
  return lane[0];
}
static inline float max_lanes(Vec v) {
  float lane[kWidth];
  store(lane, v);
  float m = lane[0];
  for (int i = 1; i < kWidth; i++) m = lane[i] > m ? lane[i] : m;
  return m;
}

#endif

// exp(x): x = n ln 2 + r, |r| <= ln 2 / 2, a degree-6 polynomial for exp(r), then 2^n.
// Coefficients: Cephes expf (Moshier), relative error about 1e-7. Below -87.3 the result is 2^-126 or so, not 0.
static inline Vec exponential(Vec x) {
  x = min(max(x, set1(-87.3f)), set1(88.3f));
  const Vec n = round_even(mul(x, set1(1.44269504088896341f)));
  Vec r = fma(n, set1(-0.693359375f), x);
  r = fma(n, set1(2.12194440e-4f), r);
  Vec p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = fma(p, mul(r, r), add(r, set1(1.0f)));
  return mul(p, power_of_two(n));
}

}  // namespace oneround::ONEROUND_ISA
