// y[m,:] = table[ids[m],:] and its gradient with respect to the table; also the moves of whole rows.
#pragma once

#include <cstdint>
#include <span>

#include "reference/grid.h"

namespace oneround::reference {

template <typename T>
Grid<T> embed(std::span<const int32_t> ids, const Grid<T>& table) {
  Grid<T> y(static_cast<int64_t>(ids.size()), table.cols);
  for (int64_t m = 0; m < y.rows; m++) {
    for (int64_t k = 0; k < y.cols; k++) y(m, k) = table(ids[static_cast<size_t>(m)], k);
  }
  return y;
}

// Rows are added in order of m, so with T = float the result is the one right answer, bit for bit.
template <typename T>
void embed_backward(std::span<const int32_t> ids, const Grid<T>& d_y, Grid<T>& d_table) {
  for (int64_t m = 0; m < d_y.rows; m++) {
    for (int64_t k = 0; k < d_y.cols; k++) d_table(ids[static_cast<size_t>(m)], k) += d_y(m, k);
  }
}

}  // namespace oneround::reference
