#include "aggregate/grid_block.h"

#include <algorithm>

#include "aggregate/columns.h"

namespace oneround::aggregate {
namespace {

// Ranks that are multiplied at a time: a column tile of so many rows of A stays in the second cache. The more, the
// rarer are totals loaded and stored.
constexpr size_t kBatchRank = 1024;

}  // namespace

GridFactors::GridFactors() : columns_(static_cast<size_t>(kernels().grid_columns)) {}

void GridFactors::take(size_t in, size_t out, std::span<const Factors> factors) {
  in_ = in;
  out_ = out;
  factors_ = factors;
  rank_ = 0;
  ranks_.clear();
  weights_.clear();
  batches_.clear();
  for (const Factors& f : factors) {
    if (batches_.empty() || batches_.back().rank + f.rank > kBatchRank)
      batches_.push_back({ranks_.size(), 0, 0, rank_});
    ++batches_.back().count;
    batches_.back().rank += f.rank;
    rank_ += f.rank;
    ranks_.push_back(static_cast<int64_t>(f.rank));
    weights_.push_back(f.weight);
  }
  right_.resize((in + columns_ - 1) / columns_ * columns_ * rank_);
  size_t before = 0;
  for (const Factors& f : factors) {
    for (size_t column = 0; column < in; column += columns_)
      kernels().pack_widened(f.a.data() + column, static_cast<int64_t>(in), static_cast<int64_t>(f.rank),
                             static_cast<int64_t>(std::min(columns_, in - column)), static_cast<int64_t>(columns_),
                             right_.data() + column * rank_ + before * columns_);
    before += f.rank;
  }
}

GridBlock::GridBlock()
    : rows_(static_cast<size_t>(kernels().grid_rows)),
      columns_(static_cast<size_t>(kernels().grid_columns)),
      totals_(kRows * columns_) {}

// Zeros below the last row.
void GridBlock::pack_rows(const GridFactors& factors, size_t row, size_t rows) {
  const size_t tiles = (rows + rows_ - 1) / rows_;
  left_.resize(tiles * rows_ * factors.rank_);
  double* panel = left_.data();
  for (const GridFactors::Batch& batch : factors.batches_) {
    for (size_t i = 0; i < rows; i += rows_) {
      for (const Factors& f : factors.factors_.subspan(batch.first, batch.count)) {
        kernels().pack_grid_rows(f.b.data() + (row + i) * f.rank, static_cast<int64_t>(std::min(rows_, rows - i)),
                                 static_cast<int64_t>(f.rank), panel);
        panel += f.rank * rows_;
      }
    }
  }
}

// The whole sum of a column tile.
void GridBlock::add_up(const GridFactors& factors, size_t rows, size_t column) {
  std::fill(totals_.begin(), totals_.end(), 0);
  const double* left = left_.data();
  for (const GridFactors::Batch& batch : factors.batches_) {
    const double* const right = factors.right_.data() + column * factors.rank_ + batch.rank_before * columns_;
    for (size_t i = 0; i < rows; i += rows_, left += batch.rank * rows_)
      kernels().products_to_grid(static_cast<int64_t>(batch.count), factors.ranks_.data() + batch.first,
                                 factors.weights_.data() + batch.first, left, right, totals_.data() + i * columns_);
  }
}

}  // namespace oneround::aggregate
