// The tile of bf16 products: two depths at a time, c = sum over pairs of (a0 b0 + a1 b1) in f32 by VDPBF16PS.
#include "kernels/bf16.h"

#if defined(ONEROUND_ISA_BF16)

#include "kernels/register_tile.h"

namespace oneround::ONEROUND_ISA {

namespace {

// a: two bf16 of one row in 32 bits; b: kWidth such pairs.
struct PairStep {
  static inline Vec apply(const float* a, Vec b, Vec sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)b, (__m512bh)set1(*a));
  }
};

}  // namespace

void bf16_tile(int count, const TilePart* parts, int rows, int vectors, float* c, int64_t c_stride, int m, int n,
               float scale, bool accumulate, Lines asked) {
  any_packed_tile<PairStep>(count, parts, rows, vectors, c, c_stride, m, n, scale, accumulate, asked);
}

}  // namespace oneround::ONEROUND_ISA

#endif
