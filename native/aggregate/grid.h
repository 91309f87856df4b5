// Sums that no order, grouping or later removal may change: every client's weighted product goes to a fixed grid,
// element by element, and is added there as an integer.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "aggregate/factorize.h"
#include "engine/scratch.h"
#include "engine/status.h"

namespace oneround::aggregate {

// One layer's sum, in steps of the grid.
struct GridLayer {
  size_t in = 0;
  size_t out = 0;
  std::span<int64_t> grid;  // [out, in]
};

// An upper bound of every |weight * (B A)[i, j]|: |weight| max_i |B_i| max_j |A_j|, by Cauchy and Schwarz.
double element_bound(size_t in, size_t out, const Factors& factors);

// Elements must stay below this many steps, so that the rounding is exact; element_bound tells it beforehand.
inline constexpr double kMostSteps = 2251799813685248.0;  // 2^51

// grid += round(weight * B A) for each of `factors`, whose weights are in steps of the grid; a negative weight takes
// back exactly what the positive one added. Rows run on `threads` threads.
Status add_to_grid(const GridLayer& layer, std::span<const Factors> factors, int threads,
                   const std::atomic<bool>& abort);

struct GridSum {
  GridLayer layer;
  bool is_new = false;  // the grid is all zeros
  std::vector<Factors> factors;
};

// The same of several layers, each on one of `threads` threads. The caller has seen to element_bound.
Status add_to_grids(std::span<const GridSum> sums, int threads, const std::atomic<bool>& abort);

// values = factor * sum of round(weight * B A), rounded to f32: what grid_values gives of a grid of zeros after
// add_to_grid, without the grid. [out, in], or `turned` to [in, out].
Status sum_on_grid(size_t in, size_t out, std::span<const Factors> factors, double factor, bool turned,
                   Scratch<float>* values, const std::atomic<bool>& abort);

// values = grid * factor, rounded to f32
void grid_values(std::span<const int64_t> grid, double factor, float* values);

}  // namespace oneround::aggregate
