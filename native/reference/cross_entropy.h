// losses[m] = log sum exp(logits[m,:]) - logits[m, labels[m]]; d_logits = softmax - onehot.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "reference/attention.h"
#include "reference/grid.h"

namespace oneround::reference {

template <typename T>
std::vector<T> cross_entropy(const Grid<T>& logits, std::span<const int32_t> labels) {
  std::vector<T> losses;
  for (int64_t m = 0; m < logits.rows; m++) {
    std::vector<T> row(logits.data.begin() + m * logits.cols, logits.data.begin() + (m + 1) * logits.cols);
    losses.push_back(softmax_in_place(row) - logits(m, labels[static_cast<size_t>(m)]));
  }
  return losses;
}

inline Grid<double> cross_entropy_backward(const Grid<double>& logits, std::span<const int32_t> labels, double d_loss) {
  Grid<double> d_logits(logits.rows, logits.cols);
  for (int64_t m = 0; m < logits.rows; m++) {
    std::vector<double> p(logits.data.begin() + m * logits.cols, logits.data.begin() + (m + 1) * logits.cols);
    softmax_in_place(p);
    for (int64_t c = 0; c < logits.cols; c++) {
      const double hot = c == labels[static_cast<size_t>(m)] ? 1 : 0;
      d_logits(m, c) = (p[static_cast<size_t>(c)] - hot) * d_loss;
    }
  }
  return d_logits;
}

}  // namespace oneround::reference
