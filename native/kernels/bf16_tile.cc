// The tile of bf16 products: two depths at a time, c = sum over pairs of (a0 b0 + a1 b1) in f32 by VDPBF16PS.
#include "kernels/bf16.h"

#if defined(ONEROUND_ISA_BF16)

#include "kernels/register_tile.h"

namespace oneround::ONEROUND_ISA {

namespace {

// a: two bf16 of one row in 32 bits; b: kWidth such pairs.
struct PairStep {
  using Element = uint32_t;
  static inline Vec apply(const uint32_t* a, Vec b, Vec sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)b, (__m512bh)_mm512_set1_epi32(static_cast<int>(*a)));
  }
};

}  // namespace

void bf16_tile(int count, const TilePart<uint32_t>* parts, int rows, int vectors, float* c, int64_t c_stride, int m,
               int n, float scale, bool accumulate) {
  constexpr Layout packed = Layout::packed;
  const auto run = rows == kTileRows ? (vectors == 2 ? register_tile<PairStep, kTileRows, 2, packed>
                                                     : register_tile<PairStep, kTileRows, 1, packed>)
                                     : (vectors == 2 ? register_tile<PairStep, kShortRows, 2, packed>
                                                     : register_tile<PairStep, kShortRows, 1, packed>);
  run(count, parts, 1, rows, c, c_stride, m, n, scale, accumulate);
}

}  // namespace oneround::ONEROUND_ISA

#endif
