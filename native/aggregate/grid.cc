#include "aggregate/grid.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "aggregate/columns.h"
#include "aggregate/products.h"
#include "engine/thread_pool.h"

namespace oneround::aggregate {

double element_bound(size_t in, size_t out, const Factors& f) {
  double row = 0, column = 0;
  for (size_t i = 0; i < out; ++i) {
    row = std::max(row, kernels().sum_of_squares(f.b.data() + i * f.rank, static_cast<int64_t>(f.rank)));
  }
  std::vector<double> squares(in, 0.0);
  for (size_t k = 0; k < f.rank; ++k) {
    for (size_t j = 0; j < in; ++j) {
      const double value = static_cast<double>(f.a[k * in + j]);
      squares[j] += value * value;
    }
  }
  for (double square : squares) column = std::max(column, square);
  // The last factor covers the rounding of these sums.
  return std::fabs(f.weight) * std::sqrt(row) * std::sqrt(column) * (1 + 1e-9);
}

Status add_to_grid(const GridLayer& layer, std::span<const Factors> factors, int threads,
                   const std::atomic<bool>& abort) {
  const Status status = check_factors(layer.in, layer.out, factors);
  if (!status.is_ok()) return status;
  for (const Factors& f : factors) {
    if (element_bound(layer.in, layer.out, f) < kMostSteps) continue;
    return Status::error(Code::numeric, "an element of an update lies beyond the grid of the sum",
                         "Leave this update out, or weigh clients by smaller numbers.");
  }
  std::vector<PackedRows> packed;
  packed.reserve(factors.size());
  for (const Factors& f : factors) packed.emplace_back(layer.in, f.rank, f.a.data());

  const size_t rows = static_cast<size_t>(kernels().product_rows);
  const size_t blocks = (layer.out + rows - 1) / rows;
  // All factors meet a block of rows while it lies in the cache.
  const auto block = [&](int64_t index, int) {
    if (abort.load(std::memory_order_relaxed)) return;
    const size_t first = static_cast<size_t>(index) * rows;
    const size_t count = std::min(rows, layer.out - first);
    for (size_t f = 0; f < factors.size(); ++f) {
      each_product_row(layer.in, factors[f], packed[f], first, count,
                       [&](size_t i, size_t column, size_t n, const double* values) {
                         kernels().add_to_grid(values, factors[f].weight, static_cast<int64_t>(n),
                                               layer.grid.data() + (first + i) * layer.in + column);
                       });
    }
  };
  ThreadPool pool(std::max(1, threads));
  pool.for_each(static_cast<int64_t>(blocks), block);
  // A grid that was left half-way cannot be used: the caller drops it.
  if (abort.load(std::memory_order_relaxed))
    return Status::error(Code::aborted, "the aggregation was stopped", "Start it again.");
  return Status::ok();
}

}  // namespace oneround::aggregate
