// What this core can do at most, measured: chains of multiply-adds that never leave the registers, and reads.
#include "kernels/kernel_set.h"
#include "kernels/vector.h"

namespace oneround::ONEROUND_ISA {

namespace {

// More chains than any core needs to hide the latency of one (4 to 6 cycles at 2 a cycle), fewer than registers.
constexpr int kChains = kWidth == 16 ? 24 : 12;

}  // namespace

// Runs chains of FMAs (or of bf16 pair products); returns the operations done, two a multiply-add.
double peak(int64_t iterations, bool bf16, float* sink) {
  Vec sum[kChains];
  const Vec x = set1(*sink), y = set1(1e-3f);
#pragma GCC unroll 24
  for (int i = 0; i < kChains; i++) sum[i] = set1(static_cast<float>(i));
  if (bf16) {
#if defined(ONEROUND_ISA_BF16)
    for (int64_t n = 0; n < iterations; n++)
#pragma GCC unroll 24
      for (int i = 0; i < kChains; i++) sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)x, (__m512bh)y);
#endif
  } else {
    for (int64_t n = 0; n < iterations; n++)
#pragma GCC unroll 24
      for (int i = 0; i < kChains; i++) sum[i] = fma(x, y, sum[i]);
  }
  Vec total = zero();
  for (int i = 0; i < kChains; i++) total = add(total, sum[i]);
  *sink = sum_lanes(total);
  return static_cast<double>(iterations) * kChains * kWidth * (bf16 ? 4 : 2);
}

// The sum of x, in eight chains so that only memory limits it.
float read_all(const float* x, int64_t count) {
  Vec sum[8] = {zero(), zero(), zero(), zero(), zero(), zero(), zero(), zero()};
  for (int64_t i = 0; i + 8 * kWidth <= count; i += 8 * kWidth)
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) sum[j] = add(sum[j], load(x + i + j * kWidth));
  Vec total = zero();
  for (int j = 0; j < 8; j++) total = add(total, sum[j]);
  return sum_lanes(total);
}

}  // namespace oneround::ONEROUND_ISA
