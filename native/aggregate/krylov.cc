#include "aggregate/krylov.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "aggregate/eigen.h"
#include "aggregate/panels.h"
#include "engine/distribution.h"

namespace oneround::aggregate {
namespace {

// Vectors that are multiplied at a time: a row of product_tile's on the widest instruction set. An eigenvalue of higher
// multiplicity is found by the probes.
constexpr size_t kBlock = 8;
constexpr double kTolerance = 1e-10;  // of a residual, in its value
// A projection adds the basis's own deviation from orthogonality, as many times as it shortens the vector: below this
// share of its length a vector is projected again.
constexpr double kLittle = 0.5;
constexpr double kRounding = 4e-15;  // of a product, in the largest value: what is below it is taken for zero
// Blocks from a fresh start behind a converged basis: so few show whatever that basis is blind to, since everything
// else at that end of the spectrum is in it.
constexpr size_t kProbeBlocks = 4;

Status aborted() { return Status::error(Code::aborted, "the aggregation was stopped", "Start it again."); }

// An orthonormal basis V, blocks of kBlock columns, and its projection V' M V.
class Basis {
 public:
  Basis(const Columns& matrix, size_t most)
      : n_(matrix.rows),
        most_(most),
        matrix_(n_, n_),
        columns_(n_, most),
        rows_(most, n_),
        projection_(most, most),
        block_(n_, kBlock) {
    for (size_t k = 0; k < n_; ++k) matrix_.set_row(k, 0, matrix.col(k), n_);
  }

  size_t size() const { return size_; }
  double largest() const { return largest_; }

  // The block to come is a fresh one: what the last block couples to stays a residual.
  void restart() {
    if (size_ > 0) open_.push_back({size_ - kBlock, coupling_});
    for (size_t j = 0; j < kBlock; ++j) draw(j);
    separate();
  }

  // Takes the block in and makes the next one, of what M leaves outside of the basis.
  void grow() {
    Columns product(n_, kBlock);
    multiply_transposed(matrix_, block_, n_, &product);
    for (size_t j = 0; j < kBlock; ++j) {
      columns_.set_column(size_ + j, block_.col(j));
      rows_.set_row(size_ + j, 0, block_.col(j), n_);
      largest_ = std::max(largest_, norm(product.col(j)));
    }
    size_ += kBlock;
    // Nearly all that M makes of the block lies in it and in the block before.
    Columns near = project_near(&product);
    before_ = std::move(block_);
    block_ = std::move(product);
    bool small = false;
    const Columns inner = project_out(&block_, &small);
    for (size_t j = 0; j < kBlock; ++j) {
      for (size_t i = 0; i <= j; ++i) near.at(i, j) += inner.at(size_ - kBlock + i, j);
      for (size_t i = 0; i < size_ - kBlock; ++i) projection_.at(size_ - kBlock + j, i) = inner.at(i, j);
      for (size_t i = 0; i < kBlock && size_ > kBlock; ++i)
        projection_.at(size_ - kBlock + j, size_ - 2 * kBlock + i) += near.at(kBlock + i, j);
      for (size_t i = 0; i <= j; ++i) projection_.at(size_ - kBlock + j, size_ - kBlock + i) = near.at(i, j);
    }
    coupling_ = Columns(kBlock, kBlock);
    while (small) project_out(&block_, &small);
    if (orthonormalise(kRounding * largest_, &coupling_)) separate();
  }

  // Of V' M V: its `count` largest eigenpairs and the residuals of the vectors that they stand for.
  Status ritz(size_t count, std::vector<double>* values, Columns* coordinates, std::vector<double>* residuals,
              const std::atomic<bool>& abort) const {
    Columns small(size_, size_);
    for (size_t j = 0; j < size_; ++j) std::copy_n(projection_.col(j) + j, size_ - j, small.col(j) + j);
    const Status status = largest_eigenpairs(std::move(small), count, values, coordinates, abort);
    if (!status.is_ok()) return status;
    residuals->assign(count, 0.0);
    for (size_t j = 0; j < count; ++j) {
      (*residuals)[j] = residual(size_ - kBlock, coupling_, coordinates->col(j));
      for (const auto& [first, coupling] : open_) (*residuals)[j] += residual(first, coupling, coordinates->col(j));
    }
    return status;
  }

  // V coordinates
  Columns combine(const Columns& coordinates) const {
    Columns result(n_, coordinates.cols);
    multiply_transposed(rows_, coordinates, size_, &result);
    return result;
  }

 private:
  double norm(const double* x) const { return std::sqrt(dot(x, x, n_)); }

  // x -= V V' x; returns V' x, [size, columns of x], and whether little was left of a column.
  Columns project_out(Columns* x, bool* small) const {
    Columns inner(size_, x->cols), along(n_, x->cols);
    multiply_transposed(columns_, *x, n_, &inner);
    multiply_transposed(rows_, inner, size_, &along);
    *small = false;
    for (size_t j = 0; j < x->cols; ++j) {
      const double before = norm(x->col(j));
      axpy(-1, along.col(j), x->col(j), n_);
      *small = *small || (norm(x->col(j)) < kLittle * before && before > kRounding * largest_);
    }
    return inner;
  }

  // The same for the newest block and, where there is one, the block before; returns both their products.
  Columns project_near(Columns* x) const {
    Columns inner(2 * kBlock, kBlock);
    for (size_t j = 0; j < kBlock; ++j) {
      for (size_t i = 0; i < (size_ > kBlock ? 2 * kBlock : kBlock); ++i) {
        const double* v = i < kBlock ? block_.col(i) : before_.col(i - kBlock);
        inner.at(i, j) = dot(v, x->col(j), n_);
        axpy(-inner.at(i, j), v, x->col(j), n_);
      }
    }
    return inner;
  }

  // The block = (orthonormal columns) R, and R is added to `coupling`. Columns that are only rounding give way to fresh
  // ones, which M does not couple to the basis. Returns whether the block has to be projected again: of what is far
  // smaller than it was, rounding is a larger part.
  bool orthonormalise(double rounding, Columns* coupling) {
    bool small = false;
    for (size_t j = 0; j < kBlock; ++j) {
      double* x = block_.col(j);
      const double before = norm(x);
      for (int twice = 0; twice < 2; ++twice) {
        for (size_t i = 0; i < j; ++i) {
          const double along = dot(block_.col(i), x, n_);
          coupling->at(i, j) += along;
          axpy(-along, block_.col(i), x, n_);
        }
      }
      double length = norm(x);
      small = small || length < kLittle * before || length <= rounding;
      if (length <= rounding) {
        draw(j);
        length = norm(x);
      } else {
        coupling->at(j, j) = length;
      }
      for (size_t i = 0; i < n_; ++i) x[i] /= length;
    }
    return small;
  }

  // Makes the block orthonormal and orthogonal to the basis.
  void separate() {
    for (bool again = true; again;) {
      Columns ignored(kBlock, kBlock);
      bool small = false;
      if (size_ > 0) project_out(&block_, &small);
      again = orthonormalise(kRounding, &ignored) || small;
    }
  }

  // Column j of the block: a seeded direction, which still has to be projected.
  void draw(size_t j) {
    std::vector<float> normal(n_);
    fill_random(0, stream_++, true, normal.data(), n_);
    std::copy(normal.begin(), normal.end(), block_.col(j));
  }

  // Length of what M leaves outside of the basis, of the vector with these coordinates, for the block at `first`.
  static double residual(size_t first, const Columns& coupling, const double* coordinates) {
    double total = 0;
    for (size_t i = 0; i < kBlock; ++i) {
      double sum = 0;
      for (size_t j = i; j < kBlock; ++j) sum += coupling.at(i, j) * coordinates[first + j];
      total += sum * sum;
    }
    return std::sqrt(total);
  }

  size_t n_, most_, size_ = 0;
  uint32_t stream_ = 0;
  double largest_ = 0;  // length of a product with a unit vector, so far: about the largest eigenvalue
  Panels matrix_, columns_, rows_;
  Columns projection_, block_, before_, coupling_;
  std::vector<std::pair<size_t, Columns>> open_;  // first column and coupling of blocks that nothing follows
};

// How far the worst wanted pair is from its tolerance: 1 or less has converged.
double worst(const std::vector<double>& values, const std::vector<double>& residuals, double largest) {
  double ratio = 0;
  for (size_t j = 0; j < values.size(); ++j)
    ratio = std::max(ratio, residuals[j] / std::max(kTolerance * values[j], kRounding * largest));
  return ratio;
}

// When to look at the basis: the projection's eigenpairs cost as much as some blocks. Residuals fall by about the same
// factor a block, once they fall.
class Schedule {
 public:
  Schedule(size_t count, size_t most) : most_(most), next_(whole(static_cast<double>(count + 3 * kBlock))) {}
  size_t next() const { return next_; }
  // The basis has got all that it may have, or is on its way to twice that: residuals of a flat spectrum hardly fall at
  // first. They fall faster and faster later on, so the estimate is a high one.
  bool is_hopeless() const { return hopeless_; }

  // `ratio`: how far the basis of next() columns is from its end; 1 or less: only the probe is left.
  void after(double ratio) {
    const auto size = static_cast<double>(next_);
    double step = ratio <= 1 ? kProbeBlocks * kBlock : size / 2;
    if (ratio > 1 && ratio < before_) {
      const double slope = (std::log2(before_) - std::log2(ratio)) / (size - static_cast<double>(previous_));
      const double all = std::log2(ratio) / slope;
      hopeless_ = size + all > 2 * static_cast<double>(most_);
      step = std::min(step, all);
    }
    hopeless_ = hopeless_ || next_ == most_;
    before_ = ratio;
    previous_ = next_;
    next_ = whole(size + std::max<double>(step, kBlock));
  }

 private:
  size_t whole(double size) const {
    return std::min(most_, (static_cast<size_t>(size) + kBlock - 1) / kBlock * kBlock);
  }

  size_t most_, next_, previous_ = 0;
  double before_ = 0;
  bool hopeless_ = false;
};

bool same(const std::vector<double>& x, const std::vector<double>& y, double largest) {
  for (size_t j = 0; j < x.size(); ++j)
    if (std::fabs(x[j] - y[j]) > kTolerance * largest) return false;
  return true;
}

}  // namespace

Status krylov_eigenpairs(const Columns& matrix, size_t count, bool* found, std::vector<double>* values,
                         Columns* vectors, const std::atomic<bool>& abort) {
  *found = false;
  const size_t most = matrix.rows / 2 / kBlock * kBlock;
  if (count + 2 * kBlock > most) return Status::ok();
  Basis basis(matrix, most);
  std::vector<double> before, residuals;
  Columns coordinates;
  basis.restart();
  Schedule schedule(count, most);
  while (true) {
    while (basis.size() < schedule.next()) {
      if (abort.load(std::memory_order_relaxed)) return aborted();
      basis.grow();
    }
    std::vector<double> now;
    const Status status = basis.ritz(count, &now, &coordinates, &residuals, abort);
    if (!status.is_ok()) return status;
    const double ratio = worst(now, residuals, basis.largest());
    if (ratio <= 1 && before.size() == count && same(now, before, basis.largest())) {
      *values = std::move(now);
      break;
    }
    before.clear();
    schedule.after(ratio);
    if (schedule.is_hopeless()) return Status::ok();
    if (ratio > 1) continue;
    before = std::move(now);
    basis.restart();
  }
  *vectors = basis.combine(coordinates);
  *found = true;
  return Status::ok();
}

}  // namespace oneround::aggregate
