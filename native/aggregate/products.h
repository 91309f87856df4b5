// Dense rows of weight * B A, block by block, so that no dense update ever exists whole. Sums run over the rank in one
// chain per element, in double, of exact products: the same bits on every instruction set and for any block.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "aggregate/columns.h"
#include "aggregate/factorize.h"

namespace oneround::aggregate {

// A [rank, in] packed once for product_tile: column tiles of [rank][product_columns].
class PackedRows {
 public:
  PackedRows(size_t in, size_t rank, const float* a);
  const double* tile(size_t index) const { return data_.data() + index * rank_ * columns_; }

 private:
  size_t rank_;
  size_t columns_;
  std::vector<double> data_;
};

// Rows [first, first + count) of B A, count <= kernels().product_rows, without the weight. Calls
// take(row, column, n, values) for each piece of a row.
template <class Take>
void each_product_row(size_t in, const Factors& f, const PackedRows& a, size_t first, size_t count, const Take& take) {
  const size_t rows = static_cast<size_t>(kernels().product_rows);
  const size_t columns = static_cast<size_t>(kernels().product_columns);
  std::vector<double> left(f.rank * rows, 0.0), sums(rows * columns);
  for (size_t i = 0; i < count; ++i) {
    for (size_t k = 0; k < f.rank; ++k) left[k * rows + i] = static_cast<double>(f.b[(first + i) * f.rank + k]);
  }
  for (size_t j = 0; j * columns < in; ++j) {
    std::fill(sums.begin(), sums.end(), 0.0);
    kernels().product_tile(static_cast<int64_t>(f.rank), left.data(), static_cast<int64_t>(rows), a.tile(j),
                           sums.data());
    const size_t n = std::min(columns, in - j * columns);
    for (size_t i = 0; i < count; ++i) take(i, j * columns, n, sums.data() + i * columns);
  }
}

}  // namespace oneround::aggregate
