// The dot product of a vector with one stored row, each weight converted in registers.
//   sum_k x[k] w[k]
// A weight is used once, so memory is the limit: rows are read one after another, in the order in which they lie,
// because hardware prefetches a single stream best (measured: four rows at once reach half the bandwidth).
// Q4_0 and Q4_1 keep the block's scale d and minimum m out of the inner sum: sum (d q + m) x = d sum(q x) + m sum(x).
#include <cstring>

#include "kernels/kernel_set.h"
#include "kernels/row_loops.h"
#include "kernels/storage_type.h"

namespace oneround::ONEROUND_ISA {

namespace {

constexpr int kBlock = 32;               // elements of one step, and of a small quantisation block
constexpr int kParts = kBlock / kWidth;  // vectors of one step
constexpr int64_t kConverted = 256;      // elements converted at a time, where a type has no reader of its own

#if defined(ONEROUND_ISA_AVX512) || defined(ONEROUND_ISA_AVX2)

#if defined(ONEROUND_ISA_AVX512)
inline Vec whole_numbers(__m512i v) { return _mm512_cvtepi32_ps(v); }
inline Vec unsigned_bytes(__m128i v) { return whole_numbers(_mm512_cvtepu8_epi32(v)); }
inline Vec signed_bytes(const uint8_t* p) {
  return whole_numbers(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline Vec bfloats(const uint8_t* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
inline Vec halves(const uint8_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline Vec broadcast(__m128 lowest) { return _mm512_broadcastss_ps(lowest); }
#else
inline Vec whole_numbers(__m256i v) { return _mm256_cvtepi32_ps(v); }
inline Vec unsigned_bytes(__m128i v) { return whole_numbers(_mm256_cvtepu8_epi32(v)); }
inline Vec signed_bytes(const uint8_t* p) {
  return whole_numbers(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline Vec bfloats(const uint8_t* p) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
inline Vec halves(const uint8_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline Vec broadcast(__m128 lowest) { return _mm256_broadcastss_ps(lowest); }
#endif

// What has been summed so far; several chains, because one would wait for each FMA.
struct Sum {
  Vec products[kParts] = {};
  __m128 minima = _mm_setzero_ps();  // lane 1: sum of m times the block's sum of x
};

inline float total(const Sum& sum) {
  Vec all = sum.products[0];
  for (int v = 1; v < kParts; v++) all = oneround::ONEROUND_ISA::add(all, sum.products[v]);
  return sum_lanes(all) + _mm_cvtss_f32(_mm_movehdup_ps(sum.minima));
}

// Each reader adds one step of 32 elements. kSums: it needs the sum of x over them.
struct F32 {
  static constexpr int kBytes = 128;
  static constexpr bool kSums = false;
  static void add(const uint8_t* p, const float* x, float, Sum* sum) {
    for (int v = 0; v < kParts; v++) {
      Vec w;
      std::memcpy(&w, p + v * kWidth * 4, sizeof w);
      sum->products[v] = fma(w, load(x + v * kWidth), sum->products[v]);
    }
  }
};
struct F16 {
  static constexpr int kBytes = 64;
  static constexpr bool kSums = false;
  static void add(const uint8_t* p, const float* x, float, Sum* sum) {
    for (int v = 0; v < kParts; v++)
      sum->products[v] = fma(halves(p + v * kWidth * 2), load(x + v * kWidth), sum->products[v]);
  }
};
struct Bf16 {
  static constexpr int kBytes = 64;
  static constexpr bool kSums = false;
  static void add(const uint8_t* p, const float* x, float, Sum* sum) {
    for (int v = 0; v < kParts; v++)
      sum->products[v] = fma(bfloats(p + v * kWidth * 2), load(x + v * kWidth), sum->products[v]);
  }
};
// {f16 d, i8 q[32]}: d q
struct Q8_0 {
  static constexpr int kBytes = 34;
  static constexpr bool kSums = false;
  static void add(const uint8_t* p, const float* x, float, Sum* sum) {
    Vec dot = mul(signed_bytes(p + 2), load(x));
    for (int v = 1; v < kParts; v++) dot = fma(signed_bytes(p + 2 + v * kWidth), load(x + v * kWidth), dot);
    uint16_t d;
    std::memcpy(&d, p, 2);
    sum->products[0] = fma(broadcast(_mm_cvtph_ps(_mm_cvtsi32_si128(d))), dot, sum->products[0]);
  }
};
// low nibbles are elements 0..15, high nibbles 16..31
inline Vec nibble_dot(const uint8_t* nibbles, const float* x) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(nibbles)), mask = _mm_set1_epi8(15);
  const __m128i low = _mm_and_si128(bytes, mask), high = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
#if defined(ONEROUND_ISA_AVX512)
  return fma(unsigned_bytes(high), load(x + kWidth), mul(unsigned_bytes(low), load(x)));
#else
  Vec dot = mul(unsigned_bytes(low), load(x));
  dot = fma(unsigned_bytes(_mm_srli_si128(low, 8)), load(x + kWidth), dot);
  dot = fma(unsigned_bytes(high), load(x + 2 * kWidth), dot);
  return fma(unsigned_bytes(_mm_srli_si128(high, 8)), load(x + 3 * kWidth), dot);
#endif
}
// {f16 d, f16 m, nibbles[16]}: d q + m
struct Q4_1 {
  static constexpr int kBytes = 20;
  static constexpr bool kSums = true;
  static void add(const uint8_t* p, const float* x, float x_sum, Sum* sum) {
    int32_t both;
    std::memcpy(&both, p, 4);
    const __m128 d_and_m = _mm_cvtph_ps(_mm_cvtsi32_si128(both));
    sum->products[0] = fma(broadcast(d_and_m), nibble_dot(p + 4, x), sum->products[0]);
    sum->minima = _mm_fmadd_ps(d_and_m, _mm_set1_ps(x_sum), sum->minima);
  }
};
// {f16 d, nibbles[16]}: d (q - 8)
struct Q4_0 {
  static constexpr int kBytes = 18;
  static constexpr bool kSums = true;
  static void add(const uint8_t* p, const float* x, float x_sum, Sum* sum) {
    uint16_t half;
    std::memcpy(&half, p, 2);
    const __m128 d = _mm_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
    sum->products[0] = fma(broadcast(d), nibble_dot(p + 2, x), sum->products[0]);
    sum->minima = _mm_fmadd_ps(d, _mm_set1_ps(-8.0f * x_sum), sum->minima);
  }
};

// Whole steps of one row.
template <class Reader>
float dot_steps(const uint8_t* row, int64_t steps, const float* x, const float* x_sums) {
  Sum sum;
  for (int64_t b = 0; b < steps; b++)
    Reader::add(row + b * Reader::kBytes, x + b * kBlock, Reader::kSums ? x_sums[b] : 0.0f, &sum);
  return total(sum);
}

// False: the type has no reader.
bool dot_typed(int type, const uint8_t* row, int64_t steps, const float* x, const float* x_sums, float* out) {
  switch (type) {
    case kF32:
      *out = dot_steps<F32>(row, steps, x, x_sums);
      return true;
    case kF16:
      *out = dot_steps<F16>(row, steps, x, x_sums);
      return true;
    case kBF16:
      *out = dot_steps<Bf16>(row, steps, x, x_sums);
      return true;
    case kQ8_0:
      *out = dot_steps<Q8_0>(row, steps, x, x_sums);
      return true;
    case kQ4_1:
      *out = dot_steps<Q4_1>(row, steps, x, x_sums);
      return true;
    case kQ4_0:
      *out = dot_steps<Q4_0>(row, steps, x, x_sums);
      return true;
    default:
      return false;
  }
}

#else

bool dot_typed(int, const uint8_t*, int64_t, const float*, const float*, float*) { return false; }

#endif

// Elements [first, count) of one row, converted to f32 on the way.
float dot_converted(int type, const uint8_t* row, int64_t first, int64_t count, const float* x) {
  float converted[kConverted];
  Vec sum = zero();
  for (int64_t k = first; k < count; k += kConverted) {
    const int64_t length = count - k < kConverted ? count - k : kConverted;
    dequantize(type, row, k, length, converted);
    for_vectors(length, [&](int64_t i, int64_t n) { sum = fma(get(converted + i, n), get(x + k + i, n), sum); });
  }
  return sum_lanes(sum);
}

}  // namespace

void block_sums(const float* x, int64_t count, float* sums) {
  for (int64_t b = 0; b < count / kBlock; b++) {
    Vec sum = load(x + b * kBlock);
    for (int v = 1; v < kParts; v++) sum = add(sum, load(x + b * kBlock + v * kWidth));
    sums[b] = sum_lanes(sum);
  }
}

float row_dot(int type, const uint8_t* row, int64_t count, const float* x, const float* sums) {
  const int64_t steps = count / kBlock;
  float sum;
  if (!dot_typed(type, row, steps, x, sums, &sum)) return dot_converted(type, row, 0, count, x);
  return steps * kBlock < count ? sum + dot_converted(type, row, steps * kBlock, count, x) : sum;
}

}  // namespace oneround::ONEROUND_ISA
