#include "aggregate/grid.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "aggregate/columns.h"
#include "engine/scratch.h"
#include "engine/thread_pool.h"

namespace oneround::aggregate {
namespace {

// Ranks that are packed and multiplied at a time: a column tile of so many rows of A stays in a small second cache
// while it meets every row of B, and memory does not grow with the number of clients.
constexpr size_t kBatchRank = 128;

// Some factors as products_to_grid reads them: rows of B in tiles of grid_rows, columns of A in tiles of grid_columns.
class GridBatch {
 public:
  GridBatch()
      : rows_(static_cast<size_t>(kernels().grid_rows)), columns_(static_cast<size_t>(kernels().grid_columns)) {}

  void take(const GridLayer& layer, std::span<const Factors> factors) {
    layer_ = layer;
    factors_ = factors;
    ranks_.clear();
    weights_.clear();
    total_rank_ = 0;
    for (const Factors& f : factors) {
      ranks_.push_back(static_cast<int64_t>(f.rank));
      weights_.push_back(f.weight);
      total_rank_ += f.rank;
    }
    left_.resize(row_tiles() * total_rank_ * rows_);
    right_.resize(column_tiles() * total_rank_ * columns_);
  }

  size_t row_tiles() const { return (layer_.out + rows_ - 1) / rows_; }
  size_t column_tiles() const { return (layer_.in + columns_ - 1) / columns_; }

  // [total rank][grid_rows], zeros below the last row
  void pack_rows(size_t tile) {
    const size_t first = tile * rows_, count = std::min(rows_, layer_.out - first);
    double* panel = left_.data() + tile * total_rank_ * rows_;
    for (const Factors& f : factors_) {
      for (size_t i = 0; i < rows_; ++i) {
        const float* row = i < count ? f.b.data() + (first + i) * f.rank : nullptr;
        for (size_t k = 0; k < f.rank; ++k) panel[k * rows_ + i] = row == nullptr ? 0 : static_cast<double>(row[k]);
      }
      panel += f.rank * rows_;
    }
  }

  // [total rank][grid_columns], zeros behind the last column
  void pack_columns(size_t tile) {
    const size_t first = tile * columns_, count = std::min(columns_, layer_.in - first);
    double* panel = right_.data() + tile * total_rank_ * columns_;
    for (const Factors& f : factors_) {
      for (size_t k = 0; k < f.rank; ++k, panel += columns_) {
        const float* row = f.a.data() + k * layer_.in + first;
        for (size_t j = 0; j < count; ++j) panel[j] = static_cast<double>(row[j]);
        std::fill(panel + count, panel + columns_, 0.0);
      }
    }
  }

  // Everything that lies in one tile of columns.
  void add_columns(size_t tile) const {
    const size_t wide = std::min(columns_, layer_.in - tile * columns_);
    std::vector<int64_t> edge(rows_ * columns_);
    for (size_t row = 0; row < row_tiles(); ++row) {
      const size_t high = std::min(rows_, layer_.out - row * rows_);
      int64_t* const target = layer_.grid.data() + row * rows_ * layer_.in + tile * columns_;
      if (high == rows_ && wide == columns_) {
        multiply(row, tile, target, layer_.in);
        continue;
      }
      for (size_t i = 0; i < high; ++i) std::copy_n(target + i * layer_.in, wide, edge.data() + i * columns_);
      multiply(row, tile, edge.data(), columns_);
      for (size_t i = 0; i < high; ++i) std::copy_n(edge.data() + i * columns_, wide, target + i * layer_.in);
    }
  }

 private:
  void multiply(size_t row, size_t tile, int64_t* grid, size_t stride) const {
    kernels().products_to_grid(static_cast<int64_t>(ranks_.size()), ranks_.data(), weights_.data(),
                               left_.data() + row * total_rank_ * rows_, right_.data() + tile * total_rank_ * columns_,
                               grid, static_cast<int64_t>(stride));
  }

  size_t rows_, columns_, total_rank_ = 0;
  GridLayer layer_;
  std::span<const Factors> factors_;
  std::vector<int64_t> ranks_;
  std::vector<double> weights_;
  Scratch<double> left_, right_;
};

// How many of the first factors make a batch: at least one.
size_t batch_size(std::span<const Factors> factors) {
  size_t count = 0, rank = 0;
  while (count < factors.size() && (count == 0 || rank + factors[count].rank <= kBatchRank))
    rank += factors[count++].rank;
  return count;
}

// each(count, body) calls body(tile) for all tiles below `count`, on one thread or on several.
template <class Each>
void add_in_batches(const GridLayer& layer, std::span<const Factors> factors, const Each& each, GridBatch* batch) {
  for (size_t first = 0; first < factors.size();) {
    const size_t count = batch_size(factors.subspan(first));
    batch->take(layer, factors.subspan(first, count));
    first += count;
    each(batch->row_tiles(), [&](size_t tile) { batch->pack_rows(tile); });
    each(batch->column_tiles(), [&](size_t tile) { batch->pack_columns(tile); });
    each(batch->column_tiles(), [&](size_t tile) { batch->add_columns(tile); });
  }
}

// A grid that was left half-way cannot be used: the caller drops it.
Status ended(const std::atomic<bool>& abort) {
  if (!abort.load(std::memory_order_relaxed)) return Status::ok();
  return Status::error(Code::aborted, "the aggregation was stopped", "Start it again.");
}

}  // namespace

double element_bound(size_t in, size_t out, const Factors& f) {
  double row = 0, column = 0;
  for (size_t i = 0; i < out; ++i) {
    double square = 0;
    for (size_t k = 0; k < f.rank; ++k) {
      const double value = static_cast<double>(f.b[i * f.rank + k]);
      square += value * value;
    }
    row = std::max(row, square);
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
  ThreadPool pool(std::max(1, threads));
  GridBatch batch;
  const auto each = [&](size_t tiles, const auto& body) {
    pool.for_each(static_cast<int64_t>(tiles), [&](int64_t tile, int) {
      if (!abort.load(std::memory_order_relaxed)) body(static_cast<size_t>(tile));
    });
  };
  add_in_batches(layer, factors, each, &batch);
  return ended(abort);
}

Status add_to_grids(std::span<const GridSum> sums, int threads, const std::atomic<bool>& abort) {
  ThreadPool pool(std::max(1, threads));
  std::vector<Status> checks(sums.size());
  pool.for_each(static_cast<int64_t>(sums.size()), [&](int64_t index, int) {
    const GridSum& sum = sums[static_cast<size_t>(index)];
    checks[static_cast<size_t>(index)] = check_factors(sum.layer.in, sum.layer.out, sum.factors);
  });
  for (const Status& status : checks)
    if (!status.is_ok()) return status;
  std::vector<GridBatch> batches(static_cast<size_t>(pool.threads()));
  const auto each = [&](size_t tiles, const auto& body) {
    for (size_t tile = 0; tile < tiles && !abort.load(std::memory_order_relaxed); ++tile) body(tile);
  };
  pool.for_each(static_cast<int64_t>(sums.size()), [&](int64_t index, int worker) {
    const GridSum& sum = sums[static_cast<size_t>(index)];
    // Fresh pages that are read first and written then would be mapped twice, and all processors told each time.
    if (sum.is_new) std::fill(sum.layer.grid.begin(), sum.layer.grid.end(), 0);
    add_in_batches(sum.layer, sum.factors, each, &batches[static_cast<size_t>(worker)]);
  });
  return ended(abort);
}

void grid_values(std::span<const int64_t> grid, double factor, float* values) {
  for (size_t i = 0; i < grid.size(); ++i) values[i] = static_cast<float>(static_cast<double>(grid[i]) * factor);
}

}  // namespace oneround::aggregate
