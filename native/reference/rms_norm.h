// y = x * inv_rms * weight, inv_rms = 1 / sqrt(mean(x^2) + epsilon) a row; x [M,K], weight [1,K], inv_rms [M,1].
#pragma once

#include <cmath>

#include "reference/grid.h"

namespace oneround::reference {

template <typename T>
struct RmsNorm {
  Grid<T> y;
  Grid<T> inv_rms;
};

template <typename T>
RmsNorm<T> rms_norm(const Grid<T>& x, const Grid<T>& weight, double epsilon) {
  using std::sqrt;
  RmsNorm<T> out{Grid<T>(x.rows, x.cols), Grid<T>(x.rows, 1)};
  for (int64_t m = 0; m < x.rows; m++) {
    T squares = 0;
    for (int64_t k = 0; k < x.cols; k++) squares += x(m, k) * x(m, k);
    out.inv_rms(m, 0) = T(1) / sqrt(squares / static_cast<T>(static_cast<double>(x.cols)) + static_cast<T>(epsilon));
    for (int64_t k = 0; k < x.cols; k++) out.y(m, k) = x(m, k) * out.inv_rms(m, 0) * weight(0, k);
  }
  return out;
}

struct RmsNormGradients {
  Grid<double> d_x;
  Grid<double> d_weight;
};

// With r = inv_rms: d_x[k] = r w[k] d_y[k] - x[k] r^3 / K * sum_j(w[j] d_y[j] x[j]); d_weight[k] = sum_m d_y x r.
inline RmsNormGradients rms_norm_backward(const Grid<double>& x, const Grid<double>& weight, double epsilon,
                                          const Grid<double>& d_y) {
  const Grid<double> inv_rms = rms_norm(x, weight, epsilon).inv_rms;
  RmsNormGradients out{Grid<double>(x.rows, x.cols), Grid<double>(1, x.cols)};
  for (int64_t m = 0; m < x.rows; m++) {
    const double r = inv_rms(m, 0);
    double dot = 0;
    for (int64_t k = 0; k < x.cols; k++) dot += weight(0, k) * d_y(m, k) * x(m, k);
    for (int64_t k = 0; k < x.cols; k++) {
      out.d_x(m, k) = r * weight(0, k) * d_y(m, k) - x(m, k) * r * r * r / static_cast<double>(x.cols) * dot;
      out.d_weight(0, k) += d_y(m, k) * x(m, k) * r;
    }
  }
  return out;
}

}  // namespace oneround::reference
