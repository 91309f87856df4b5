#include "aggregate/grid.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "aggregate/columns.h"
#include "aggregate/grid_block.h"
#include "engine/thread_pool.h"

namespace oneround::aggregate {
namespace {

// values [.., width] of the whole layer; `rounded` are the piece's.
void write_piece(const GridBlock::Piece& piece, const float* rounded, size_t width, bool turned, float* values) {
  if (!turned) {
    for (size_t i = 0; i < piece.rows; ++i)
      std::copy_n(rounded + i * piece.stride, piece.columns, values + (piece.row + i) * width + piece.column);
    return;
  }
  for (size_t j = 0; j < piece.columns; ++j) {
    float* const row = values + (piece.column + j) * width + piece.row;
    for (size_t i = 0; i < piece.rows; ++i) row[i] = rounded[i * piece.stride + j];
  }
}

// |weight| |A| |B|: above element_bound, and cheaper.
double product_bound(const Factors& f) {
  const auto square = [](std::span<const float> x) {
    return kernels().sum_of_squares(x.data(), static_cast<int64_t>(x.size()));
  };
  return std::fabs(f.weight) * std::sqrt(square(f.a)) * std::sqrt(square(f.b)) * (1 + 1e-9);
}

// Every |weight (B A)[i, j]| below the bound, else its rounding would not be exact.
Status check_bounds(size_t in, size_t out, std::span<const Factors> factors) {
  const Status status = check_factors(in, out, factors);
  if (!status.is_ok()) return status;
  for (const Factors& f : factors) {
    if (product_bound(f) < kMostSteps || element_bound(in, out, f) < kMostSteps) continue;
    return Status::error(Code::numeric, "an element of an update lies beyond the grid of the sum",
                         "Leave this update out, or weigh clients by smaller numbers.");
  }
  return status;
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
  const Status status = check_bounds(layer.in, layer.out, factors);
  if (!status.is_ok()) return status;
  ThreadPool pool(std::max(1, threads));
  GridFactors packed;
  packed.take(layer.in, layer.out, factors);
  std::vector<GridBlock> blocks(static_cast<size_t>(pool.threads()));
  pool.for_each(static_cast<int64_t>(GridBlock::count(packed)), [&](int64_t index, int worker) {
    blocks[static_cast<size_t>(worker)].add(packed, static_cast<size_t>(index), abort, layer.grid.data());
  });
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
  struct Worker {
    GridFactors packed;
    GridBlock block;
  };
  std::vector<Worker> workers(static_cast<size_t>(pool.threads()));
  pool.for_each(static_cast<int64_t>(sums.size()), [&](int64_t index, int worker) {
    const GridSum& sum = sums[static_cast<size_t>(index)];
    // Fresh pages that are read first and written then would be mapped twice, and all processors told each time.
    if (sum.is_new) std::fill(sum.layer.grid.begin(), sum.layer.grid.end(), 0);
    auto& [packed, block] = workers[static_cast<size_t>(worker)];
    packed.take(sum.layer.in, sum.layer.out, sum.factors);
    for (size_t i = 0; i < GridBlock::count(packed); ++i) block.add(packed, i, abort, sum.layer.grid.data());
  });
  return ended(abort);
}

Status sum_on_grid(size_t in, size_t out, std::span<const Factors> factors, double factor, bool turned,
                   Scratch<float>* values, const std::atomic<bool>& abort) {
  const Status status = check_bounds(in, out, factors);
  if (!status.is_ok()) return status;
  values->resize(in * out);
  GridFactors packed;
  packed.take(in, out, factors);
  GridBlock block;
  Scratch<float> rounded;
  for (size_t index = 0; index < GridBlock::count(packed); ++index) {
    block.sum(packed, index, abort, [&](const GridBlock::Piece& piece) {
      rounded.resize(piece.rows * piece.stride);
      grid_values({piece.totals, rounded.size()}, factor, rounded.data());
      write_piece(piece, rounded.data(), turned ? out : in, turned, values->data());
    });
  }
  return ended(abort);
}

void grid_values(std::span<const int64_t> grid, double factor, float* values) {
  kernels().scaled_longs(grid.data(), factor, static_cast<int64_t>(grid.size()), values);
}

}  // namespace oneround::aggregate
