// Loops over one row: whole vectors and then one padded part, with the same arithmetic.
#pragma once

#include "kernels/vector.h"

namespace oneround::ONEROUND_ISA {

// Calls body(i, n): n == kWidth for whole vectors, less for the last part.
template <class Body>
static inline void for_vectors(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) body(i, static_cast<int64_t>(kWidth));
  if (i < count) body(i, count - i);
}
static inline Vec get(const float* p, int64_t n) { return n == kWidth ? load(p) : load_part(p, n); }
static inline void put(float* p, Vec v, int64_t n) {
  if (n == kWidth)
    store(p, v);
  else
    store_part(p, v, n);
}
static inline Vec sigmoid(Vec x) { return div(set1(1.0f), add(set1(1.0f), exponential(sub(zero(), x)))); }

}  // namespace oneround::ONEROUND_ISA
