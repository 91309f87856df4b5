#include "aggregate/products.h"

#include <algorithm>

#include "aggregate/columns.h"

namespace oneround::aggregate {

PackedRows::PackedRows(size_t in, size_t rank, const float* a)
    : rank_(rank), columns_(static_cast<size_t>(kernels().product_columns)) {
  const size_t tiles = (in + columns_ - 1) / columns_;
  data_.assign(tiles * rank * columns_, 0.0);
  for (size_t t = 0; t < tiles; ++t) {
    const size_t n = std::min(columns_, in - t * columns_);
    for (size_t k = 0; k < rank; ++k) {
      double* row = data_.data() + (t * rank + k) * columns_;
      for (size_t j = 0; j < n; ++j) row[j] = static_cast<double>(a[k * in + t * columns_ + j]);
    }
  }
}

}  // namespace oneround::aggregate
