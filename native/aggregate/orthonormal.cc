#include "aggregate/orthonormal.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "aggregate/qr.h"
#include "engine/distribution.h"

namespace oneround::aggregate {

void orthonormal_columns(uint32_t seed, uint32_t stream, size_t rows, size_t cols, float* out) {
  // Column by column, as QR takes it.
  std::vector<float> normal(rows * cols);
  fill_random(seed, stream, true, normal.data(), normal.size());
  Columns gaussian(rows, cols);
  for (size_t j = 0; j < cols; j++) std::copy_n(normal.data() + j * rows, rows, gaussian.col(j));
  const std::atomic<bool> never{false};
  HouseholderQr qr;
  qr.factor(std::move(gaussian), never);
  std::vector<double> column(rows);
  for (size_t j = 0; j < cols; j++) {
    std::fill(column.begin(), column.end(), 0.0);
    // Q is unique up to signs; with R's diagonal positive it is uniform.
    column[j] = qr.r(j, j) < 0 ? -1.0 : 1.0;
    qr.apply_q(column.data());
    for (size_t i = 0; i < rows; i++) out[i * cols + j] = static_cast<float>(column[i]);
  }
}

}  // namespace oneround::aggregate
