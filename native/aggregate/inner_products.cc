#include "aggregate/inner_products.h"

#include <algorithm>

namespace oneround::aggregate {
namespace {

constexpr size_t kDepth = 256;  // rows of W that are packed at once; a tile of the right side then fits the first cache

// gram[i, j] += sum_k w[k, i] w[k, j] for a block of rows w [count, cols] that is given by a reader, lower tiles only
// (i >= j), with gram column-major: tile rows run along i, so that they lie in one piece.
class GramBlocks {
 public:
  explicit GramBlocks(size_t cols)
      : cols_(cols),
        rows_(static_cast<size_t>(kernels().product_rows)),
        columns_(static_cast<size_t>(kernels().product_columns)),
        left_((cols + rows_ - 1) / rows_ * rows_ * kDepth),
        right_((cols + columns_ - 1) / columns_ * columns_ * kDepth),
        sums_(rows_ * columns_) {}

  // read(k, i) gives w[first + k, i].
  template <class Read>
  void add(size_t count, const Read& read, Columns* gram) {
    pack(count, rows_, read, &left_);
    pack(count, columns_, read, &right_);
    for (size_t j = 0; j * columns_ < cols_; ++j) {
      for (size_t i = j * columns_ / rows_; i * rows_ < cols_; ++i) {
        const size_t high = std::min(rows_, cols_ - i * rows_), wide = std::min(columns_, cols_ - j * columns_);
        std::fill(sums_.begin(), sums_.end(), 0.0);
        for (size_t a = 0; a < high; ++a) {
          for (size_t b = 0; b < wide; ++b) sums_[a * columns_ + b] = gram->at(i * rows_ + a, j * columns_ + b);
        }
        kernels().product_tile(static_cast<int64_t>(count), left_.data() + i * rows_ * count,
                               right_.data() + j * columns_ * count, sums_.data());
        for (size_t a = 0; a < high; ++a) {
          for (size_t b = 0; b < wide; ++b) gram->at(i * rows_ + a, j * columns_ + b) = sums_[a * columns_ + b];
        }
      }
    }
  }

 private:
  // panels of `width` columns: [count][width]
  template <class Read>
  void pack(size_t count, size_t width, const Read& read, std::vector<double>* panels) {
    for (size_t p = 0; p * width < cols_; ++p) {
      double* panel = panels->data() + p * width * count;
      const size_t n = std::min(width, cols_ - p * width);
      for (size_t k = 0; k < count; ++k) {
        for (size_t i = 0; i < n; ++i) panel[k * width + i] = static_cast<double>(read(k, p * width + i));
        for (size_t i = n; i < width; ++i) panel[k * width + i] = 0;
      }
    }
  }

  size_t cols_, rows_, columns_;
  std::vector<double> left_, right_, sums_;
};

// Tiles on the diagonal hold a part above it, which other tiles do not complete: the lower triangle is copied.
void mirror(Columns* gram) {
  for (size_t j = 0; j < gram->cols; ++j) {
    for (size_t i = 0; i < j; ++i) gram->at(i, j) = gram->at(j, i);
  }
}

bool gram_of(size_t rows, size_t cols, auto&& read, Columns* gram, const std::atomic<bool>& abort) {
  GramBlocks blocks(cols);
  for (size_t first = 0; first < rows; first += kDepth) {
    if (abort.load(std::memory_order_relaxed)) return false;
    blocks.add(
        std::min(kDepth, rows - first), [&](size_t k, size_t i) { return read(first + k, i); }, gram);
  }
  mirror(gram);
  return true;
}

}  // namespace

bool column_gram(std::span<const float> w, size_t rows, size_t cols, Columns* gram, const std::atomic<bool>& abort) {
  return gram_of(
      rows, cols, [&](size_t k, size_t i) { return w[k * cols + i]; }, gram, abort);
}

Status product_gram(size_t in, size_t out, std::span<const Factors> factors, std::vector<double>* gram,
                    const std::atomic<bool>& abort) {
  const Status status = check_factors(in, out, factors);
  if (!status.is_ok()) return status;
  // Each stacked column's place: which factor, which of its ranks.
  std::vector<const float*> row_of_a, column_of_b;
  std::vector<size_t> step_of_b, first;
  for (const Factors& f : factors) {
    first.push_back(row_of_a.size());
    for (size_t k = 0; k < f.rank; ++k) {
      row_of_a.push_back(f.a.data() + k * in);
      column_of_b.push_back(f.b.data() + k);
      step_of_b.push_back(f.rank);
    }
  }
  const size_t total = row_of_a.size();
  first.push_back(total);
  Columns a(total, total), b(total, total);
  const bool done = gram_of(
                        in, total, [&](size_t k, size_t i) { return row_of_a[i][k]; }, &a, abort) &&
                    gram_of(
                        out, total, [&](size_t k, size_t i) { return column_of_b[i][k * step_of_b[i]]; }, &b, abort);
  if (!done) return Status::error(Code::aborted, "the inner products were stopped", "Start them again.");

  const size_t m = factors.size();
  gram->assign(m * m, 0.0);
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (size_t l = first[j]; l < first[j + 1]; ++l) {
        for (size_t k = first[i]; k < first[i + 1]; ++k) sum += a.at(k, l) * b.at(k, l);
      }
      (*gram)[i * m + j] = (*gram)[j * m + i] = factors[i].weight * factors[j].weight * sum;
    }
  }
  return Status::ok();
}

}  // namespace oneround::aggregate
