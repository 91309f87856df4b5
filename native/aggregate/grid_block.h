// Sums on the grid, a block of rows at a time: what products_to_grid reads and writes stays in the second cache.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "aggregate/factorize.h"
#include "engine/scratch.h"

namespace oneround::aggregate {

// Some factors of a layer, which must outlive this, with the columns of all A packed for products_to_grid.
class GridFactors {
 public:
  GridFactors();
  void take(size_t in, size_t out, std::span<const Factors> factors);

 private:
  friend class GridBlock;
  // Factors that are multiplied at a time.
  struct Batch {
    size_t first, count, rank;  // of factors; sum of their ranks
    size_t rank_before;
  };

  size_t columns_;  // of products_to_grid
  size_t in_ = 0, out_ = 0, rank_ = 0;
  std::span<const Factors> factors_;
  std::vector<int64_t> ranks_;
  std::vector<double> weights_;
  std::vector<Batch> batches_;
  Scratch<double> right_;  // tiles of columns, [tile][sum of ranks][grid_columns]
};

// Some rows of sum_f round(weight_f B_f A_f) at a time.
class GridBlock {
 public:
  GridBlock();

  // A piece of the sum that is complete: rows [row, row + rows), columns [column, column + columns); totals' rows are
  // `stride` apart.
  struct Piece {
    size_t row, rows, column, columns;
    const int64_t* totals;
    size_t stride;
  };

  static size_t count(const GridFactors& factors) { return (factors.out_ + kRows - 1) / kRows; }

  // Adds block `index` of count() to the layer's grid [out, in]; a part of it once `abort` is set.
  void add(const GridFactors& factors, size_t index, const std::atomic<bool>& abort, int64_t* grid);

  // Calls emit(piece) for pieces that cover the block, once each; fewer once `abort` is set.
  template <class Emit>
  void sum(const GridFactors& factors, size_t index, const std::atomic<bool>& abort, const Emit& emit) {
    begin(factors, index);
    for (size_t column = 0; column < factors.in_ && !abort.load(std::memory_order_relaxed); column += columns_)
      emit(add_up(factors, 0, column));
  }

 private:
  // So many packed rows of B stay in the second cache while they meet all columns: a multiple of every set's grid_rows.
  static constexpr size_t kRows = 96;

  void begin(const GridFactors& factors, size_t index);
  // The products of row tiles [first, end) and of the column tile at `column`, added to whole tiles that begin at
  // `into`.
  void multiply(const GridFactors& factors, size_t first, size_t end, size_t column, int64_t* into, size_t stride);
  // The sum of all row tiles from `first` on, and of the column tile at `column`.
  Piece add_up(const GridFactors& factors, size_t first, size_t column);

  size_t rows_, columns_;                  // of products_to_grid
  size_t row_ = 0, high_ = 0, tiles_ = 0;  // of the block: its first row, its rows, its row tiles
  Scratch<double> left_;                   // rows of B, [batch][tile][rank][grid_rows]
  Scratch<int64_t> totals_;                // [kRows][grid_columns]
};

}  // namespace oneround::aggregate
