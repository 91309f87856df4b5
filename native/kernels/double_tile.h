// The register tile of products in double, for either way to add one:
//   for i < kProductRows, j < kProductColumns: for k: c[i,j] = step(a[k,i], b[k,j], c[i,j])
#pragma once

#include "kernels/double_vector.h"

namespace oneround::ONEROUND_ISA {

// Of two f32 numbers, whose product is exact in double.
struct ExactStep {
  static inline Doubles apply(Doubles a, Doubles b, Doubles sum) { return fma_exact(a, b, sum); }
};

// Of any doubles: the product is rounded before it is added.
struct RoundedStep {
  static inline Doubles apply(Doubles a, Doubles b, Doubles sum) { return add_doubles(sum, mul_doubles(a, b)); }
};

// a [count][rows], its rows `stride` apart; b packed [count][columns]; c [rows][columns]. One chain over k for each
// element.
template <class Step>
static inline void double_register_tile(int64_t count, const double* a, int64_t stride, const double* b, double* c) {
  Doubles sum[kProductRows][kProductVectors];
  for (int i = 0; i < kProductRows; i++)
    for (int v = 0; v < kProductVectors; v++) sum[i][v] = load_doubles(c + i * kProductColumns + v * kDoubles);
  for (int64_t k = 0; k < count; k++, a += stride, b += kProductColumns) {
    Doubles row[kProductVectors];
    for (int v = 0; v < kProductVectors; v++) row[v] = load_doubles(b + v * kDoubles);
    for (int i = 0; i < kProductRows; i++) {
      const Doubles left = set_doubles(a[i]);
      for (int v = 0; v < kProductVectors; v++) sum[i][v] = Step::apply(left, row[v], sum[i][v]);
    }
  }
  for (int i = 0; i < kProductRows; i++)
    for (int v = 0; v < kProductVectors; v++) store_doubles(c + i * kProductColumns + v * kDoubles, sum[i][v]);
}

}  // namespace oneround::ONEROUND_ISA
