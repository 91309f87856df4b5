#include "aggregate/grid.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "aggregate/columns.h"
#include "aggregate/products.h"
#include "engine/thread_pool.h"

namespace oneround::aggregate {
namespace {

// Doubles of all A in one strip of columns: half of a small second cache.
constexpr size_t kStripNumbers = size_t{1} << 15;

// Rows [first, first + count) of every B, one factor behind another as product_tile's left side: [rank][rows].
std::vector<double> pack_rows_of_b(std::span<const Factors> factors, size_t total_rank, size_t rows, size_t first,
                                   size_t count) {
  std::vector<double> left(total_rank * rows, 0.0);
  double* panel = left.data();
  for (const Factors& f : factors) {
    for (size_t i = 0; i < count; ++i) {
      const float* row = f.b.data() + (first + i) * f.rank;
      for (size_t k = 0; k < f.rank; ++k) panel[k * rows + i] = static_cast<double>(row[k]);
    }
    panel += f.rank * rows;
  }
  return left;
}

// One tile of the grid, all factors: its numbers stay in the first cache.
void add_tile(const GridLayer& layer, std::span<const Factors> factors, const std::vector<PackedRows>& packed,
              const double* left, size_t first, size_t count, size_t tile) {
  const size_t rows = static_cast<size_t>(kernels().product_rows);
  const size_t columns = static_cast<size_t>(kernels().product_columns);
  const size_t wide = std::min(columns, layer.in - tile * columns);
  int64_t* const target = layer.grid.data() + first * layer.in + tile * columns;
  const bool whole = count == rows && wide == columns;
  // A tile at the edge is summed beside the grid and then added.
  std::vector<int64_t> edge(whole ? 0 : rows * columns, 0);
  int64_t* const into = whole ? target : edge.data();
  const auto stride = static_cast<int64_t>(whole ? layer.in : columns);
  for (size_t f = 0; f < factors.size(); ++f) {
    kernels().product_to_grid(static_cast<int64_t>(factors[f].rank), left, packed[f].tile(tile), factors[f].weight,
                              into, stride);
    left += factors[f].rank * rows;
  }
  if (whole) return;
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = 0; j < wide; ++j)
      target[i * layer.in + j] = static_cast<int64_t>(static_cast<uint64_t>(target[i * layer.in + j]) +
                                                      static_cast<uint64_t>(edge[i * columns + j]));
  }
}

}  // namespace

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
  size_t total_rank = 0;
  for (const Factors& f : factors) {
    packed.emplace_back(layer.in, f.rank, f.a.data());
    total_rank += f.rank;
  }
  const size_t rows = static_cast<size_t>(kernels().product_rows);
  const size_t columns = static_cast<size_t>(kernels().product_columns);
  const size_t blocks = (layer.out + rows - 1) / rows;
  const size_t tiles = (layer.in + columns - 1) / columns;
  // A block of rows meets a strip of columns: the strip of every A stays in the second cache from block to block.
  const size_t strip = std::max<size_t>(1, kStripNumbers / std::max<size_t>(1, total_rank * columns));
  const size_t strips = (tiles + strip - 1) / strip;
  const auto block = [&](int64_t index, int) {
    if (abort.load(std::memory_order_relaxed)) return;
    const size_t first = static_cast<size_t>(index) % blocks * rows;
    const size_t count = std::min(rows, layer.out - first);
    const std::vector<double> left = pack_rows_of_b(factors, total_rank, rows, first, count);
    const size_t begin = static_cast<size_t>(index) / blocks * strip, end = std::min(tiles, begin + strip);
    for (size_t tile = begin; tile < end; ++tile) add_tile(layer, factors, packed, left.data(), first, count, tile);
  };
  ThreadPool pool(std::max(1, threads));
  pool.for_each(static_cast<int64_t>(blocks * strips), block);
  // A grid that was left half-way cannot be used: the caller drops it.
  if (abort.load(std::memory_order_relaxed))
    return Status::error(Code::aborted, "the aggregation was stopped", "Start it again.");
  return Status::ok();
}

}  // namespace oneround::aggregate
