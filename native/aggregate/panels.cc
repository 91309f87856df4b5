#include "aggregate/panels.h"

#include <algorithm>

namespace oneround::aggregate {

Panels::Panels(size_t depth, size_t width)
    : depth_(depth), width_(width), columns_(static_cast<size_t>(kernels().product_columns)) {
  data_.resize((width + columns_ - 1) / columns_ * columns_ * depth);
}

void Panels::set_row(size_t k, size_t first, const double* values, size_t count) {
  for (size_t j = first; j < first + count;) {
    const size_t lane = j % columns_, wide = std::min(columns_ - lane, first + count - j);
    std::copy_n(values + (j - first), wide, from(k, j));
    j += wide;
  }
}

void Panels::set_column(size_t j, const double* values) {
  double* lane = from(0, j);
  for (size_t k = 0; k < depth_; ++k) lane[k * columns_] = values[k];
}

void multiply_transposed(const Panels& panels, const Columns& x, size_t depth, Columns* out) {
  const size_t rows = static_cast<size_t>(kernels().product_rows);
  const size_t columns = static_cast<size_t>(kernels().product_columns);
  Scratch<double> left(depth * rows), sums(rows * columns);
  for (size_t first = 0; first < x.cols; first += rows) {
    const size_t count = std::min(rows, x.cols - first);
    for (size_t i = 0; i < rows; ++i) {
      if (i >= count) {
        for (size_t k = 0; k < depth; ++k) left[k * rows + i] = 0;
      } else {
        const double* column = x.col(first + i);
        for (size_t k = 0; k < depth; ++k) left[k * rows + i] = column[k];
      }
    }
    for (size_t tile = 0; tile * columns < out->rows; ++tile) {
      std::fill(sums.begin(), sums.end(), 0.0);
      kernels().double_tile(static_cast<int64_t>(depth), left.data(), panels.tile(tile), sums.data());
      const size_t wide = std::min(columns, out->rows - tile * columns);
      for (size_t i = 0; i < count; ++i)
        std::copy_n(sums.data() + i * columns, wide, out->col(first + i) + tile * columns);
    }
  }
}

}  // namespace oneround::aggregate
