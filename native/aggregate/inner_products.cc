#include "aggregate/inner_products.h"

#include <algorithm>
#include <vector>

#include "engine/scratch.h"

namespace oneround::aggregate {
namespace {

constexpr size_t kDepth = 128;  // rows of W that are packed at once; a tile then fits the first cache

// gram[i, j] = sum_k w[k, i] w[k, j], in tiles of product_tile that stay packed until all rows of w have been added.
// Tiles on and below the diagonal only (i >= j).
class GramTiles {
 public:
  explicit GramTiles(size_t cols)
      : cols_(cols),
        rows_(static_cast<size_t>(kernels().product_rows)),
        columns_(static_cast<size_t>(kernels().product_columns)) {
    const size_t tile = rows_ * columns_;
    for (size_t i = 0; i < cols_; ++i) row_places_.push_back(i / rows_ * tile + i % rows_ * columns_);
    // Of a column of tiles, those above the diagonal do not exist; its places are counted as if they did.
    size_t end = 0;
    for (size_t j = 0; j < cols_; j += columns_) {
      const size_t above = j / rows_ * tile;
      for (size_t b = 0; b < std::min(columns_, cols_ - j); ++b) column_places_.push_back(end + b - above);
      end += (cols_ + rows_ - 1) / rows_ * tile - above;
    }
    sums_.assign(end, 0.0);
    panels_.resize((cols + columns_ - 1) / columns_ * columns_ * kDepth);
  }

  // pack(width, first, n, panel) writes w[.., first + i], i < n, as panel [count][width], with zeros for n <= i <
  // width. The left side of a tile is a part of another panel: product_columns is a multiple of product_rows.
  template <class Pack>
  void add(size_t count, const Pack& pack) {
    for (size_t j = 0; j < cols_; j += columns_)
      pack(columns_, j, std::min(columns_, cols_ - j), panels_.data() + j * count);
    each_tile([&](size_t i, size_t j, double* sums) {
      const double* left = panels_.data() + i / columns_ * columns_ * count + i % columns_;
      kernels().product_tile(static_cast<int64_t>(count), left, static_cast<int64_t>(columns_),
                             panels_.data() + j * count, sums);
    });
  }

  // gram[i, j] for i >= j.
  double at(size_t i, size_t j) const { return sums_[row_places_[i] + column_places_[j]]; }

  // Both triangles; a tile's rows lie in one tile of the panels.
  void write(Panels* gram) {
    each_tile([&](size_t row, size_t column, const double* sums) {
      const size_t high = std::min(rows_, cols_ - row), wide = std::min(columns_, cols_ - column);
      for (size_t i = 0; i < high; ++i) std::copy_n(sums + i * columns_, columns_, gram->from(row + i, column));
      for (size_t j = 0; j < wide; ++j) {
        double* const mirrored = gram->from(column + j, row);
        for (size_t i = 0; i < high; ++i) mirrored[i] = sums[i * columns_ + j];
      }
    });
  }

 private:
  // Calls body(first row, first column, sums). The tile that the diagonal enters may begin above it.
  template <class Body>
  void each_tile(const Body& body) {
    double* sums = sums_.data();
    for (size_t j = 0; j < cols_; j += columns_) {
      for (size_t i = j / rows_ * rows_; i < cols_; i += rows_, sums += rows_ * columns_) body(i, j, sums);
    }
  }

  size_t cols_, rows_, columns_;
  std::vector<size_t> row_places_, column_places_;
  Scratch<double> panels_, sums_;
};

// pack(first row, count, width, first column, n, panel)
bool add_rows(size_t rows, const auto& pack, GramTiles* tiles, const std::atomic<bool>& abort) {
  for (size_t first = 0; first < rows; first += kDepth) {
    if (abort.load(std::memory_order_relaxed)) return false;
    const size_t count = std::min(kDepth, rows - first);
    tiles->add(count, [&](size_t width, size_t column, size_t n, double* panel) {
      pack(first, count, width, column, n, panel);
    });
  }
  return true;
}

// A column of w: every `step`-th number from `first` on.
struct StridedColumn {
  const float* first;
  size_t step;
};

bool add_columns(size_t rows, std::span<const StridedColumn> columns, GramTiles* tiles,
                 const std::atomic<bool>& abort) {
  return add_rows(
      rows,
      [&](size_t first, size_t count, size_t width, size_t column, size_t n, double* panel) {
        for (size_t i = 0; i < n; ++i) {
          const auto [begin, step] = columns[column + i];
          const float* from = begin + first * step;
          for (size_t k = 0; k < count; ++k) panel[k * width + i] = static_cast<double>(from[k * step]);
        }
        for (size_t k = 0; k < count && n < width; ++k) std::fill(panel + k * width + n, panel + (k + 1) * width, 0.0);
      },
      tiles, abort);
}

}  // namespace

bool column_gram(std::span<const float> w, size_t rows, size_t cols, Panels* gram, const std::atomic<bool>& abort) {
  GramTiles tiles(cols);
  const bool done = add_rows(
      rows,
      [&](size_t first, size_t count, size_t width, size_t column, size_t n, double* panel) {
        kernels().pack_widened(w.data() + first * cols + column, static_cast<int64_t>(cols),
                               static_cast<int64_t>(count), static_cast<int64_t>(n), static_cast<int64_t>(width),
                               panel);
      },
      &tiles, abort);
  if (done) tiles.write(gram);
  return done;
}

Status product_gram(size_t in, size_t out, std::span<const Factors> factors, std::vector<double>* gram,
                    const std::atomic<bool>& abort) {
  const Status status = check_factors(in, out, factors);
  if (!status.is_ok()) return status;
  std::vector<StridedColumn> rows_of_a, columns_of_b;
  std::vector<size_t> first;
  for (const Factors& f : factors) {
    first.push_back(rows_of_a.size());
    for (size_t k = 0; k < f.rank; ++k) {
      rows_of_a.push_back({f.a.data() + k * in, 1});
      columns_of_b.push_back({f.b.data() + k, f.rank});
    }
  }
  const size_t total = rows_of_a.size();
  first.push_back(total);
  GramTiles a(total), b(total);
  if (!add_columns(in, rows_of_a, &a, abort) || !add_columns(out, columns_of_b, &b, abort))
    return Status::error(Code::aborted, "the inner products were stopped", "Start them again.");

  const size_t m = factors.size();
  gram->assign(m * m, 0.0);
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (size_t l = first[j]; l < first[j + 1]; ++l) {
        for (size_t k = first[i]; k < first[i + 1]; ++k)
          sum += a.at(std::max(k, l), std::min(k, l)) * b.at(std::max(k, l), std::min(k, l));
      }
      (*gram)[i * m + j] = (*gram)[j * m + i] = factors[i].weight * factors[j].weight * sum;
    }
  }
  return Status::ok();
}

}  // namespace oneround::aggregate
