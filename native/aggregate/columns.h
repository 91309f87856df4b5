// Dense matrices in double, one column after another, and the three loops that everything here is made of.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/scratch.h"
#include "kernels/kernels.h"

namespace oneround::aggregate {

// [rows, cols], column-major.
struct Columns {
  size_t rows = 0;
  size_t cols = 0;
  Scratch<double> data;

  Columns() = default;
  Columns(size_t rows_, size_t cols_) : rows(rows_), cols(cols_), data(rows_ * cols_, 0.0) {}
  // Of numbers that are still to be written.
  static Columns undefined(size_t rows, size_t cols) {
    Columns result;
    result.rows = rows;
    result.cols = cols;
    result.data.resize(rows * cols);
    return result;
  }
  double* col(size_t j) { return data.data() + j * rows; }
  const double* col(size_t j) const { return data.data() + j * rows; }
  double& at(size_t i, size_t j) { return data[j * rows + i]; }
  double at(size_t i, size_t j) const { return data[j * rows + i]; }
};

// The loops of this machine's instruction set, or of the one that ONEROUND_ISA forces. All sets give the same bits.
const Kernels& kernels();

inline double dot(const double* x, const double* y, size_t n) {
  return kernels().dot_doubles(x, y, static_cast<int64_t>(n));
}

// y += alpha * x
inline void axpy(double alpha, const double* x, double* y, size_t n) {
  kernels().add_scaled_doubles(alpha, x, y, static_cast<int64_t>(n));
}

// x, y = c x - s y, s x + c y
inline void rotate(double* x, double* y, double c, double s, size_t n) {
  kernels().rotate_doubles(x, y, c, s, static_cast<int64_t>(n));
}

}  // namespace oneround::aggregate
