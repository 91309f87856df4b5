#include "aggregate/krylov.h"

#include <algorithm>
#include <cmath>

#include "aggregate/krylov_basis.h"

namespace oneround::aggregate {
namespace {

// Of what a value is off, in that value, and of all of them together in the rest of the trace.
constexpr double kTolerance = 2e-7;
// Blocks from a fresh start behind a converged basis: so few show whatever that basis is blind to, since everything
// else at that end of the spectrum is in it.
constexpr size_t kProbeBlocks = 4;

// How far the wanted pairs are from their tolerances: 1 or less has converged. A value is off by at most its residual
// r, and by about r^2 / gap where the rest of the spectrum lies a gap below (Parlett, The Symmetric Eigenvalue Problem,
// sections 11.7 and 11.8); `values` and `residuals` hold one more pair than wanted, which tells of that rest.
double worst(const std::vector<double>& values, const std::vector<double>& residuals, double trace, double largest) {
  const size_t count = values.size() - 1;
  const double below = values[count] + residuals[count];
  double ratio = 0, all = 0, rest = trace;
  for (size_t j = 0; j < count; ++j) {
    const double gap = values[j] - below, r = residuals[j];
    const double off = gap > r ? r * (r / gap) : r;
    ratio = std::max(ratio, off / std::max(kTolerance * values[j], kKrylovRounding * largest));
    all += off;
    rest -= values[j];
  }
  return std::max(ratio, all / std::max(kTolerance * rest, kKrylovRounding * largest));
}

// When to look at the basis: the projection's eigenpairs cost as much as some blocks. What values are off falls by
// about the same factor a block once it falls, and of a flat spectrum hardly at first: ahead, about twice as fast as
// lately.
class Schedule {
 public:
  Schedule(size_t count, size_t most) : most_(most), next_(whole(static_cast<double>(count + 3 * kKrylovBlock))) {}
  size_t next() const { return next_; }
  // The basis has got all that it may have, or is on its way to twice that; so much an early estimate may be off.
  bool is_hopeless() const { return hopeless_; }

  // `ratio`: how far the basis of next() columns was from its end; `columns` of it are there by now.
  void after(double ratio, size_t columns) {
    const auto size = static_cast<double>(next_);
    double step = size / 2;
    if (ratio < before_) {
      const double slope = (std::log2(before_) - std::log2(ratio)) / (size - static_cast<double>(previous_));
      const double all = std::log2(ratio) / (2 * slope);
      hopeless_ = size + all > 2 * static_cast<double>(most_);
      step = std::min(step, all);
    }
    hopeless_ = hopeless_ || columns >= most_;
    before_ = ratio;
    previous_ = next_;
    next_ = whole(static_cast<double>(columns) + std::max<double>(step, kKrylovBlock));
  }

 private:
  size_t whole(double size) const {
    return std::min(most_, (static_cast<size_t>(size) + kKrylovBlock - 1) / kKrylovBlock * kKrylovBlock);
  }

  size_t most_, next_, previous_ = 0;
  double before_ = 0;
  bool hopeless_ = false;
};

Columns first_columns(const Columns& x, size_t count) {
  Columns result(x.rows, count);
  std::copy_n(x.data.begin(), result.data.size(), result.data.begin());
  return result;
}

bool same(const std::vector<double>& x, const std::vector<double>& y, double trace, double largest) {
  double rest = trace, all = 0;
  for (size_t j = 0; j < x.size(); ++j) {
    all += std::fabs(y[j] - x[j]);
    rest -= y[j];
  }
  return all <= std::max(kTolerance * rest, kKrylovRounding * largest);
}

}  // namespace

Status krylov_eigenpairs(const Panels& matrix, size_t count, bool* found, std::vector<double>* values, Columns* vectors,
                         const std::atomic<bool>& abort) {
  *found = false;
  const size_t most = matrix.depth() / 2 / kKrylovBlock * kKrylovBlock, probe = kProbeBlocks * kKrylovBlock;
  if (count + 2 * kKrylovBlock > most) return Status::ok();
  double trace = 0;
  for (size_t i = 0; i < matrix.depth(); ++i) trace += matrix.at(i, i);
  KrylovBasis basis(matrix, most + probe);
  Schedule schedule(count, most);
  Columns coordinates;
  basis.restart();
  while (true) {
    Status status = basis.grow_to(schedule.next(), abort);
    std::vector<double> now, residuals;
    if (status.is_ok()) status = basis.ritz(count + 1, &now, &coordinates, &residuals, abort);
    if (!status.is_ok()) return status;
    const double ratio = worst(now, residuals, trace, basis.largest());
    if (ratio <= 1) {
      now.pop_back();
      coordinates = first_columns(coordinates, count);
      *values = now;
      basis.restart();
      status = basis.grow_to(basis.size() + probe, abort);
      if (status.is_ok()) status = basis.refine(values, &coordinates, abort);
      if (!status.is_ok()) return status;
      if (same(now, *values, trace, basis.largest())) break;
    }
    schedule.after(ratio, basis.size());
    if (schedule.is_hopeless()) return Status::ok();
  }
  *vectors = basis.combine(coordinates);
  *found = true;
  return Status::ok();
}

}  // namespace oneround::aggregate
