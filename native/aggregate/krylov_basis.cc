#include "aggregate/krylov_basis.h"

#include <algorithm>
#include <cmath>

#include "aggregate/eigen.h"
#include "engine/distribution.h"

namespace oneround::aggregate {
namespace {

// A projection adds the basis's own deviation from orthogonality, as many times as it shortens the vector: below this
// share of its length a vector is projected again.
constexpr double kLittle = 0.5;

// Length of what M leaves outside of the basis, of the vector with these coordinates, for the block at `first`.
double residual(size_t first, const Columns& coupling, const double* coordinates) {
  double total = 0;
  for (size_t i = 0; i < kKrylovBlock; ++i) {
    double sum = 0;
    for (size_t j = i; j < kKrylovBlock; ++j) sum += coupling.at(i, j) * coordinates[first + j];
    total += sum * sum;
  }
  return std::sqrt(total);
}

}  // namespace

KrylovBasis::KrylovBasis(const Panels& matrix, size_t most)
    : n_(matrix.depth()),
      matrix_(matrix),
      columns_(n_, most),
      rows_(most, n_),
      projection_(most, most),
      block_(n_, kKrylovBlock) {}

void KrylovBasis::restart() {
  if (size_ > 0) open_.push_back({size_ - kKrylovBlock, coupling_});
  for (size_t j = 0; j < kKrylovBlock; ++j) draw(j);
  separate();
}

Status KrylovBasis::grow_to(size_t size, const std::atomic<bool>& abort) {
  while (size_ < size) {
    if (abort.load(std::memory_order_relaxed))
      return Status::error(Code::aborted, "the aggregation was stopped", "Start it again.");
    grow();
  }
  return Status::ok();
}

// Takes the block in and makes the next one, of what M leaves outside of the basis.
void KrylovBasis::grow() {
  Columns product = Columns::undefined(n_, kKrylovBlock);
  multiply_transposed(matrix_, block_, n_, &product);
  for (size_t j = 0; j < kKrylovBlock; ++j) {
    columns_.set_column(size_ + j, block_.col(j));
    rows_.set_row(size_ + j, 0, block_.col(j), n_);
    largest_ = std::max(largest_, norm(product.col(j)));
  }
  size_ += kKrylovBlock;
  // Nearly all that M makes of the block lies in it and in the block before.
  Columns near = project_near(&product);
  before_ = std::move(block_);
  block_ = std::move(product);
  bool small = false;
  const Columns inner = project_out(&block_, &small);
  for (size_t j = 0; j < kKrylovBlock; ++j) {
    for (size_t i = 0; i <= j; ++i) near.at(i, j) += inner.at(size_ - kKrylovBlock + i, j);
    for (size_t i = 0; i < size_ - kKrylovBlock; ++i) projection_.at(size_ - kKrylovBlock + j, i) = inner.at(i, j);
    for (size_t i = 0; i < kKrylovBlock && size_ > kKrylovBlock; ++i)
      projection_.at(size_ - kKrylovBlock + j, size_ - 2 * kKrylovBlock + i) += near.at(kKrylovBlock + i, j);
    for (size_t i = 0; i <= j; ++i) projection_.at(size_ - kKrylovBlock + j, size_ - kKrylovBlock + i) = near.at(i, j);
  }
  coupling_ = Columns(kKrylovBlock, kKrylovBlock);
  while (small) project_out(&block_, &small);
  if (orthonormalise(kKrylovRounding * largest_, &coupling_)) separate();
}

Status KrylovBasis::ritz(size_t count, std::vector<double>* values, Columns* coordinates,
                         std::vector<double>* residuals, const std::atomic<bool>& abort) const {
  Columns small(size_, size_);
  for (size_t j = 0; j < size_; ++j) std::copy_n(projection_.col(j) + j, size_ - j, small.col(j) + j);
  const Status status = largest_eigenpairs(std::move(small), count, values, coordinates, abort);
  if (!status.is_ok()) return status;
  residuals->assign(count, 0.0);
  for (size_t j = 0; j < count; ++j) {
    (*residuals)[j] = residual(size_ - kKrylovBlock, coupling_, coordinates->col(j));
    for (const auto& [first, coupling] : open_) (*residuals)[j] += residual(first, coupling, coordinates->col(j));
  }
  return status;
}

Status KrylovBasis::refine(std::vector<double>* values, Columns* coordinates, const std::atomic<bool>& abort) const {
  const size_t first = coordinates->rows, count = coordinates->cols, fresh = size_ - first;
  Columns small(count + fresh, count + fresh);
  for (size_t j = 0; j < count; ++j) {
    small.at(j, j) = (*values)[j];
    for (size_t i = first; i < size_; ++i) {
      double sum = 0;
      for (size_t k = 0; k < first; ++k) sum += projection_.at(i, k) * coordinates->at(k, j);
      small.at(count + i - first, j) = sum;
    }
  }
  for (size_t j = 0; j < fresh; ++j)
    std::copy_n(projection_.col(first + j) + first + j, fresh - j, small.col(count + j) + count + j);
  Columns turn;
  const Status status = largest_eigenpairs(std::move(small), count, values, &turn, abort);
  if (!status.is_ok()) return status;
  Columns whole(size_, count);
  for (size_t j = 0; j < count; ++j) {
    for (size_t k = 0; k < count; ++k) axpy(turn.at(k, j), coordinates->col(k), whole.col(j), first);
    std::copy_n(turn.col(j) + count, fresh, whole.col(j) + first);
  }
  *coordinates = std::move(whole);
  return status;
}

Columns KrylovBasis::combine(const Columns& coordinates) const {
  Columns result = Columns::undefined(n_, coordinates.cols);
  multiply_transposed(rows_, coordinates, size_, &result);
  return result;
}

double KrylovBasis::norm(const double* x) const { return std::sqrt(dot(x, x, n_)); }

// x -= V V' x; returns V' x, [size, columns of x], and whether little was left of a column.
Columns KrylovBasis::project_out(Columns* x, bool* small) const {
  Columns inner = Columns::undefined(size_, x->cols), along = Columns::undefined(n_, x->cols);
  multiply_transposed(columns_, *x, n_, &inner);
  multiply_transposed(rows_, inner, size_, &along);
  *small = false;
  for (size_t j = 0; j < x->cols; ++j) {
    const double before = norm(x->col(j));
    axpy(-1, along.col(j), x->col(j), n_);
    *small = *small || (norm(x->col(j)) < kLittle * before && before > kKrylovRounding * largest_);
  }
  return inner;
}

// The same for the newest block and, where there is one, the block before; returns both their products.
Columns KrylovBasis::project_near(Columns* x) const {
  Columns inner(2 * kKrylovBlock, kKrylovBlock);
  for (size_t j = 0; j < kKrylovBlock; ++j) {
    for (size_t i = 0; i < (size_ > kKrylovBlock ? 2 * kKrylovBlock : kKrylovBlock); ++i) {
      const double* v = i < kKrylovBlock ? block_.col(i) : before_.col(i - kKrylovBlock);
      inner.at(i, j) = dot(v, x->col(j), n_);
      axpy(-inner.at(i, j), v, x->col(j), n_);
    }
  }
  return inner;
}

// The block = (orthonormal columns) R, and R is added to `coupling`. Columns that are only rounding give way to fresh
// ones, which M does not couple to the basis. Returns whether the block has to be projected again: of what is far
// smaller than it was, rounding is a larger part.
bool KrylovBasis::orthonormalise(double rounding, Columns* coupling) {
  bool small = false;
  for (size_t j = 0; j < kKrylovBlock; ++j) {
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
void KrylovBasis::separate() {
  for (bool again = true; again;) {
    Columns ignored(kKrylovBlock, kKrylovBlock);
    bool small = false;
    if (size_ > 0) project_out(&block_, &small);
    again = orthonormalise(kKrylovRounding, &ignored) || small;
  }
}

// Column j of the block: a seeded direction, which still has to be projected.
void KrylovBasis::draw(size_t j) {
  std::vector<float> normal(n_);
  fill_random(0, stream_++, true, normal.data(), n_);
  std::copy(normal.begin(), normal.end(), block_.col(j));
}

}  // namespace oneround::aggregate
