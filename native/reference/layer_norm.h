// y = (x - mean) * inv * weight + bias a row, inv = 1 / sqrt(mean((x - mean)^2) + epsilon).
// x [M,K], weight and bias [1,K], mean and inv [M,1].
#pragma once

#include <cmath>

#include "reference/grid.h"

namespace oneround::reference {

template <typename T>
struct LayerNorm {
  Grid<T> y;
  Grid<T> mean;
  Grid<T> inv;
};

template <typename T>
LayerNorm<T> layer_norm(const Grid<T>& x, const Grid<T>& weight, const Grid<T>& bias, double epsilon) {
  using std::sqrt;
  LayerNorm<T> out{Grid<T>(x.rows, x.cols), Grid<T>(x.rows, 1), Grid<T>(x.rows, 1)};
  const T count = static_cast<T>(static_cast<double>(x.cols));
  for (int64_t m = 0; m < x.rows; m++) {
    T sum = 0, squares = 0;
    for (int64_t k = 0; k < x.cols; k++) sum += x(m, k);
    const T mean = sum / count;
    for (int64_t k = 0; k < x.cols; k++) squares += (x(m, k) - mean) * (x(m, k) - mean);
    const T inv = T(1) / sqrt(squares / count + static_cast<T>(epsilon));
    for (int64_t k = 0; k < x.cols; k++) out.y(m, k) = (x(m, k) - mean) * inv * weight(0, k) + bias(0, k);
    out.mean(m, 0) = mean;
    out.inv(m, 0) = inv;
  }
  return out;
}

struct LayerNormGradients {
  Grid<double> d_x;
  Grid<double> d_weight;
  Grid<double> d_bias;
};

// With h = (x - mean) inv and g = w d_y: d_x = inv (g - mean(g) - h mean(g h)); d_weight = sum_m d_y h; d_bias = sum_m
// d_y.
inline LayerNormGradients layer_norm_backward(const Grid<double>& x, const Grid<double>& weight, double epsilon,
                                              const Grid<double>& d_y) {
  const LayerNorm<double> forward = layer_norm(x, weight, Grid<double>(1, x.cols), epsilon);
  LayerNormGradients out{Grid<double>(x.rows, x.cols), Grid<double>(1, x.cols), Grid<double>(1, x.cols)};
  const double count = static_cast<double>(x.cols);
  for (int64_t m = 0; m < x.rows; m++) {
    const double mean = forward.mean(m, 0), inv = forward.inv(m, 0);
    double sum = 0, dot = 0;
    for (int64_t k = 0; k < x.cols; k++) {
      const double h = (x(m, k) - mean) * inv, g = weight(0, k) * d_y(m, k);
      sum += g;
      dot += g * h;
      out.d_weight(0, k) += d_y(m, k) * h;
      out.d_bias(0, k) += d_y(m, k);
    }
    for (int64_t k = 0; k < x.cols; k++) {
      const double h = (x(m, k) - mean) * inv;
      out.d_x(m, k) = inv * (weight(0, k) * d_y(m, k) - sum / count - h * dot / count);
    }
  }
  return out;
}

}  // namespace oneround::reference
