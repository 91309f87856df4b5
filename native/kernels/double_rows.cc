// The loops of the factorisations, in double: sixteen chains in a fixed order and no fused operation, so that vectors
// of any width give the same bits.
#include "kernels/double_vector.h"
#include "kernels/kernel_set.h"

namespace oneround::ONEROUND_ISA {

// sum_i x[i] y[i]
double dot_doubles(const double* x, const double* y, int64_t count) {
  constexpr int kChains = 16;
  constexpr int kVectors = kChains / kDoubles;
  Doubles chain[kVectors];
  for (int v = 0; v < kVectors; v++) chain[v] = set_doubles(0);
  int64_t i = 0;
  for (; i + kChains <= count; i += kChains)
    for (int v = 0; v < kVectors; v++)
      chain[v] =
          add_doubles(chain[v], mul_doubles(load_doubles(x + i + v * kDoubles), load_doubles(y + i + v * kDoubles)));
  double sums[kChains];
  for (int v = 0; v < kVectors; v++) store_doubles(sums + v * kDoubles, chain[v]);
  for (int lane = 0; i < count; i++, lane++) sums[lane] += x[i] * y[i];
  for (int step = kChains / 2; step > 0; step /= 2)
    for (int lane = 0; lane < step; lane++) sums[lane] += sums[lane + step];
  return sums[0];
}

// y += factor * x
void add_scaled_doubles(double factor, const double* x, double* y, int64_t count) {
  const Doubles scale = set_doubles(factor);
  int64_t i = 0;
  for (; i + kDoubles <= count; i += kDoubles)
    store_doubles(y + i, add_doubles(load_doubles(y + i), mul_doubles(scale, load_doubles(x + i))));
  for (; i < count; i++) y[i] += factor * x[i];
}

// x, y = c x - s y, s x + c y
void rotate_doubles(double* x, double* y, double c, double s, int64_t count) {
  const Doubles cosine = set_doubles(c), sine = set_doubles(s), minus = set_doubles(-s);
  int64_t i = 0;
  for (; i + kDoubles <= count; i += kDoubles) {
    const Doubles xi = load_doubles(x + i), yi = load_doubles(y + i);
    store_doubles(x + i, add_doubles(mul_doubles(cosine, xi), mul_doubles(minus, yi)));
    store_doubles(y + i, add_doubles(mul_doubles(sine, xi), mul_doubles(cosine, yi)));
  }
  for (; i < count; i++) {
    const double xi = x[i], yi = y[i];
    x[i] = c * xi - s * yi;
    y[i] = s * xi + c * yi;
  }
}

}  // namespace oneround::ONEROUND_ISA
