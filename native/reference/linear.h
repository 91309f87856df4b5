// y = scale * x w', x [M,K], w [N,K], y [M,N]; and its two gradients.
#pragma once

#include "reference/grid.h"

namespace oneround::reference {

template <typename T>
Grid<T> linear(const Grid<T>& x, const Grid<T>& w, double scale) {
  Grid<T> y(x.rows, w.rows);
  for (int64_t m = 0; m < x.rows; m++) {
    for (int64_t n = 0; n < w.rows; n++) {
      T sum = 0;
      for (int64_t k = 0; k < x.cols; k++) sum += x(m, k) * w(n, k);
      y(m, n) = static_cast<T>(scale) * sum;
    }
  }
  return y;
}

// d_x [M,K] = scale * d_y w
template <typename T>
Grid<T> linear_d_x(const Grid<T>& d_y, const Grid<T>& w, double scale) {
  Grid<T> d_x(d_y.rows, w.cols);
  for (int64_t m = 0; m < d_y.rows; m++) {
    for (int64_t n = 0; n < w.rows; n++) {
      for (int64_t k = 0; k < w.cols; k++) d_x(m, k) += static_cast<T>(scale) * d_y(m, n) * w(n, k);
    }
  }
  return d_x;
}

// d_w [N,K] = scale * d_y' x
template <typename T>
Grid<T> linear_d_w(const Grid<T>& d_y, const Grid<T>& x, double scale) {
  Grid<T> d_w(d_y.cols, x.cols);
  for (int64_t m = 0; m < d_y.rows; m++) {
    for (int64_t n = 0; n < d_y.cols; n++) {
      for (int64_t k = 0; k < x.cols; k++) d_w(n, k) += static_cast<T>(scale) * d_y(m, n) * x(m, k);
    }
  }
  return d_w;
}

}  // namespace oneround::reference
