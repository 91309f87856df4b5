// Products of a few columns with a large matrix, in double: the matrix is packed once for double_tile.
#pragma once

#include <cstddef>

#include "aggregate/columns.h"
#include "engine/scratch.h"

namespace oneround::aggregate {

// A matrix [depth, width] in tiles of product_columns, each [depth][product_columns]. Its numbers begin undefined.
class Panels {
 public:
  Panels(size_t depth, size_t width);
  size_t depth() const { return depth_; }
  size_t width() const { return width_; }
  double at(size_t k, size_t j) const { return data_[place(k, j)]; }
  // Row k from column j on; what follows it in memory is that row up to the end of j's tile.
  double* from(size_t k, size_t j) { return data_.data() + place(k, j); }
  // Row k from column `first` on.
  void set_row(size_t k, size_t first, const double* values, size_t count);
  // Column j.
  void set_column(size_t j, const double* values);
  const double* tile(size_t index) const { return data_.data() + index * depth_ * columns_; }

 private:
  size_t place(size_t k, size_t j) const { return (j / columns_ * depth_ + k) * columns_ + j % columns_; }

  size_t depth_, width_, columns_;
  Scratch<double> data_;
};

// out[j, i] = sum_k panels[k, j] x[k, i] over the first `depth` rows, for columns j < out->rows: out = panels' x in one
// chain per element. x [at least depth, m], out [at most width, m].
void multiply_transposed(const Panels& panels, const Columns& x, size_t depth, Columns* out);

}  // namespace oneround::aggregate
