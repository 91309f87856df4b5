#include "aggregate/qr.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace oneround::aggregate {

void HouseholderQr::reflect(size_t i, double* column) const {
  if (tau_[i] == 0) return;
  const double* v = packed_.col(i) + i + 1;
  const size_t tail = packed_.rows - i - 1;
  const double step = tau_[i] * (column[i] + dot(v, column + i + 1, tail));
  column[i] -= step;
  axpy(-step, v, column + i + 1, tail);
}

// Turns column i from its diagonal down into (beta, v).
void HouseholderQr::make_reflector(size_t i) {
  double* column = packed_.col(i) + i;
  const size_t length = packed_.rows - i;
  const double head = column[0];
  const double tail_squared = dot(column + 1, column + 1, length - 1);
  if (tail_squared == 0) {
    tau_.push_back(0);
    return;
  }
  // The sign is the one that adds magnitudes, so that head - beta never cancels.
  const double norm = std::sqrt(head * head + tail_squared);
  const double beta = head > 0 ? -norm : norm;
  const double inverse = 1 / (head - beta);
  for (size_t k = 1; k < length; ++k) column[k] *= inverse;
  column[0] = beta;
  tau_.push_back((beta - head) / beta);
}

// Left-looking: a column meets all earlier reflectors while it lies in the first cache.
bool HouseholderQr::factor(Columns matrix, const std::atomic<bool>& abort) {
  packed_ = std::move(matrix);
  tau_.clear();
  permutation_.resize(packed_.cols);
  std::iota(permutation_.begin(), permutation_.end(), size_t{0});
  const size_t steps = std::min(packed_.rows, packed_.cols);
  for (size_t j = 0; j < packed_.cols; ++j) {
    if (abort.load(std::memory_order_relaxed)) return false;
    for (size_t i = 0; i < tau_.size(); ++i) reflect(i, packed_.col(j));
    if (j < steps) make_reflector(j);
  }
  return true;
}

// Right-looking, since the choice of the next column needs every remaining one. The norms are summed anew in each
// step and not downdated: a third more work on a small matrix, and no cancellation to guard against.
bool HouseholderQr::factor_pivoted(Columns matrix, double tiny, const std::atomic<bool>& abort) {
  packed_ = std::move(matrix);
  tau_.clear();
  permutation_.resize(packed_.cols);
  std::iota(permutation_.begin(), permutation_.end(), size_t{0});
  const size_t rows = packed_.rows;
  const size_t steps = std::min(rows, packed_.cols);
  double first = 0;
  for (size_t i = 0; i < steps; ++i) {
    if (abort.load(std::memory_order_relaxed)) return false;
    size_t best = i;
    double best_norm = -1;
    for (size_t j = i; j < packed_.cols; ++j) {
      const double norm = dot(packed_.col(j) + i, packed_.col(j) + i, rows - i);
      if (norm > best_norm) {
        best_norm = norm;
        best = j;
      }
    }
    if (i == 0) first = best_norm;
    if (best_norm <= tiny * tiny * first) break;
    if (best != i) {
      std::swap_ranges(packed_.col(i), packed_.col(i) + rows, packed_.col(best));
      std::swap(permutation_[i], permutation_[best]);
    }
    make_reflector(i);
    for (size_t j = i + 1; j < packed_.cols; ++j) reflect(i, packed_.col(j));
  }
  return true;
}

void HouseholderQr::apply_q(double* column) const {
  for (size_t i = tau_.size(); i-- > 0;) reflect(i, column);
}

}  // namespace oneround::aggregate
