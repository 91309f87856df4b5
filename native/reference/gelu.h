// y = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), element by element: the tanh form of GELU (Hendrycks and
// Gimpel, arXiv 1606.08415), which GPT-2 calls gelu_new.
#pragma once

#include <cmath>
#include <complex>
#include <numbers>

#include "reference/grid.h"

namespace oneround::reference {

template <typename T>
T gelu_inner(const T& x) {
  return static_cast<T>(std::sqrt(2 / std::numbers::pi)) * (x + static_cast<T>(0.044715) * x * x * x);
}

// (1 + tanh(u)) / 2 is 1 / (1 + exp(-2u)), written so that exp never overflows.
template <typename T>
T gelu_gate(const T& x) {
  using std::exp;
  const T u = gelu_inner(x);
  if (std::real(u) >= 0) return T(1) / (T(1) + exp(T(-2) * u));
  const T e = exp(T(2) * u);
  return e / (T(1) + e);
}

template <typename T>
Grid<T> gelu(const Grid<T>& x) {
  Grid<T> y(x.rows, x.cols);
  for (size_t i = 0; i < y.data.size(); i++) y.data[i] = x.data[i] * gelu_gate(x.data[i]);
  return y;
}

// With s = gelu_gate(x) and u its inner polynomial: d_x = d_y (s + x s (1 - s) 2 u').
inline Grid<double> gelu_backward(const Grid<double>& x, const Grid<double>& d_y) {
  Grid<double> d_x(x.rows, x.cols);
  for (size_t i = 0; i < x.data.size(); i++) {
    const double v = x.data[i], s = gelu_gate(v), rest = gelu_gate(-v);  // 1 - s without cancellation: u is odd
    const double slope = std::sqrt(2 / std::numbers::pi) * (1 + 3 * 0.044715 * v * v);
    d_x.data[i] = d_y.data[i] * (s + v * s * rest * 2 * slope);
  }
  return d_x;
}

}  // namespace oneround::reference
