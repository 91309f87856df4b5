// Dense matrices in double, one column after another, and the three loops that everything here is made of.
// Eight partial sums in a fixed order: the compiler may put them in vectors of any width and the bits stay the same.
#pragma once

#include <cstddef>
#include <vector>

namespace oneround::aggregate {

// [rows, cols], column-major.
struct Columns {
  size_t rows = 0;
  size_t cols = 0;
  std::vector<double> data;

  Columns() = default;
  Columns(size_t rows_, size_t cols_) : rows(rows_), cols(cols_), data(rows_ * cols_, 0.0) {}
  double* col(size_t j) { return data.data() + j * rows; }
  const double* col(size_t j) const { return data.data() + j * rows; }
  double& at(size_t i, size_t j) { return data[j * rows + i]; }
  double at(size_t i, size_t j) const { return data[j * rows + i]; }
};

inline double dot(const double* x, const double* y, size_t n) {
  double sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t lane = 0; lane < 8; ++lane) sums[lane] += x[i + lane] * y[i + lane];
  }
  for (size_t lane = 0; i < n; ++i, ++lane) sums[lane] += x[i] * y[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// y += alpha * x
inline void axpy(double alpha, const double* __restrict x, double* __restrict y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] += alpha * x[i];
}

// x, y = c x - s y, s x + c y
inline void rotate(double* __restrict x, double* __restrict y, double c, double s, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const double xi = x[i], yi = y[i];
    x[i] = c * xi - s * yi;
    y[i] = s * xi + c * yi;
  }
}

}  // namespace oneround::aggregate
