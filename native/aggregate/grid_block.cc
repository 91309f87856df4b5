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
void GridBlock::begin(const GridFactors& factors, size_t index) {
  row_ = index * kRows;
  high_ = std::min(kRows, factors.out_ - row_);
  tiles_ = (high_ + rows_ - 1) / rows_;
  left_.resize(tiles_ * rows_ * factors.rank_);
  double* panel = left_.data();
  for (const GridFactors::Batch& batch : factors.batches_) {
    for (size_t i = 0; i < high_; i += rows_) {
      for (const Factors& f : factors.factors_.subspan(batch.first, batch.count)) {
        kernels().pack_grid_rows(f.b.data() + (row_ + i) * f.rank, static_cast<int64_t>(std::min(rows_, high_ - i)),
                                 static_cast<int64_t>(f.rank), panel);
        panel += f.rank * rows_;
      }
    }
  }
}

void GridBlock::multiply(const GridFactors& factors, size_t first, size_t end, size_t column, int64_t* into,
                         size_t stride) {
  for (const GridFactors::Batch& batch : factors.batches_) {
    const double* const left = left_.data() + batch.rank_before * tiles_ * rows_;
    const double* const right = factors.right_.data() + column * factors.rank_ + batch.rank_before * columns_;
    for (size_t tile = first; tile < end; ++tile)
      kernels().products_to_grid(static_cast<int64_t>(batch.count), factors.ranks_.data() + batch.first,
                                 factors.weights_.data() + batch.first, left + tile * batch.rank * rows_, right,
                                 into + (tile - first) * rows_ * stride, static_cast<int64_t>(stride));
  }
}

GridBlock::Piece GridBlock::add_up(const GridFactors& factors, size_t first, size_t column) {
  std::fill(totals_.begin(), totals_.end(), 0);
  multiply(factors, first, tiles_, column, totals_.data(), columns_);
  const size_t above = first * rows_;
  return {row_ + above, high_ - above, column, std::min(columns_, factors.in_ - column), totals_.data(), columns_};
}

void GridBlock::add(const GridFactors& factors, size_t index, const std::atomic<bool>& abort, int64_t* grid) {
  begin(factors, index);
  const size_t in = factors.in_;
  for (size_t column = 0; column < in && !abort.load(std::memory_order_relaxed); column += columns_) {
    // Tiles that reach beyond the grid go a longer way.
    const size_t inside = column + columns_ <= in ? high_ / rows_ : 0;
    multiply(factors, 0, inside, column, grid + row_ * in + column, in);
    if (inside == tiles_) continue;
    const Piece rest = add_up(factors, inside, column);
    for (size_t i = 0; i < rest.rows; ++i) {
      int64_t* const row = grid + (rest.row + i) * in + column;
      // A grid may hold anything: sums wrap.
      for (size_t j = 0; j < rest.columns; ++j)
        row[j] = static_cast<int64_t>(static_cast<uint64_t>(row[j]) +
                                      static_cast<uint64_t>(rest.totals[i * rest.stride + j]));
    }
  }
}

}  // namespace oneround::aggregate
