#include "aggregate/eigen.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace oneround::aggregate {
namespace {

constexpr double kEpsilon = 2.220446049250313e-16;

// diagonal[i] and below[i] (between i and i + 1) of Q' matrix Q. Reflector k stays in column k below the diagonal's
// neighbour, scaled so that its first entry is 1; its factor is in taus[k].
struct Tridiagonal {
  std::vector<double> diagonal;
  std::vector<double> below;
  std::vector<double> taus;
};

constexpr size_t kMargin = 16;  // numbers before p, as kernels().update_and_multiply wants them

// A -= x y' + y x' over the lower triangle that begins at `from`, and then p = A v over it; one pass over A, which is
// larger than the caches. All vectors are counted from `from`; `own` is room for what each column adds to its own row.
void update_and_multiply(Columns* m, size_t from, const double* x, const double* y, const double* v, double* own,
                         double* p) {
  const size_t size = m->rows - from;
  std::fill(p, p + size, 0.0);
  for (size_t j = 0; j < size; ++j) {
    double* column = m->col(from + j) + from + j;
    column[0] = (column[0] - y[j] * x[j]) - x[j] * y[j];
    own[j] =
        column[0] * v[j] + kernels().update_and_multiply(-y[j], x + j + 1, -x[j], y + j + 1, v + j + 1, v[j],
                                                         static_cast<int64_t>(size - j - 1), column + 1, p + j + 1);
  }
  for (size_t j = 0; j < size; ++j) p[j] += own[j];
}

// Makes column[0, size) a reflector: v with v[0] = 1 in its place. Returns its factor and sets what it leaves of the
// column; a factor of 0 leaves the column as it is.
double reflect(double* column, size_t size, double* left) {
  const double tail = dot(column + 1, column + 1, size - 1);
  *left = column[0];
  if (tail == 0) return 0;
  const double norm = std::sqrt(column[0] * column[0] + tail);
  const double beta = column[0] > 0 ? -norm : norm;
  const double tau = (beta - column[0]) / beta;
  const double inverse = 1 / (column[0] - beta);
  for (size_t i = 1; i < size; ++i) column[i] *= inverse;
  column[0] = 1;
  *left = beta;
  return tau;
}

// Each reflector H = 1 - tau v v' makes A into A - v w' - w v', with w = p - (tau / 2)(p . v) v and p = tau A v. That
// change waits for the next pass, of which it needs the first column alone beforehand.
bool tridiagonalise(Columns* m, Tridiagonal* t, const std::atomic<bool>& abort) {
  const size_t n = m->rows;
  t->diagonal.assign(n, 0.0);
  t->below.assign(n, 0.0);
  t->taus.assign(n, 0.0);
  // x and y: v and w of the step before, from row k on. Zeros at first.
  std::vector<double> x(n, 0.0), y(kMargin + n, 0.0), v(n), p(kMargin + n, 0.0), own(n);
  for (size_t k = 0; k < n; ++k) {
    if (abort.load(std::memory_order_relaxed)) return false;
    double* column = m->col(k) + k;
    double* w = y.data() + kMargin;
    axpy(-w[0], x.data(), column, n - k);
    axpy(-x[0], w, column, n - k);
    t->diagonal[k] = column[0];
    const size_t size = n - k - 1;
    if (size == 0) break;
    const double tau = reflect(column + 1, size, &t->below[k]);
    t->taus[k] = tau;
    std::copy_n(column + 1, size, v.begin());
    if (tau == 0) std::fill_n(v.begin(), size, 0.0);
    double* product = p.data() + kMargin;
    update_and_multiply(m, k + 1, x.data() + 1, w + 1, v.data(), own.data(), product);
    for (size_t i = 0; i < size; ++i) product[i] *= tau;
    axpy(-0.5 * tau * dot(product, v.data(), size), v.data(), product, size);
    std::swap(x, v);
    std::swap(y, p);
  }
  return true;
}

// Shifts that are tried at a time.
constexpr size_t kShifts = kSturmShifts;

// The eigenvalues first, .., first + kShifts - 1 in descending order, all between low and high.
// To double precision each, or to a hundredth of it in `scale`, which is where the matrix itself ends.
void bisect(const Tridiagonal& t, const std::vector<double>& couplings, size_t first, double low, double high,
            double scale, double tiny, double* values) {
  double lows[kShifts], highs[kShifts], middles[kShifts], counts[kShifts];
  std::fill_n(lows, kShifts, low);
  std::fill_n(highs, kShifts, high);
  for (int step = 0; step < 120; ++step) {
    bool narrow = true;
    for (size_t s = 0; s < kShifts; ++s) {
      middles[s] = lows[s] + (highs[s] - lows[s]) / 2;
      const double size = std::max({std::fabs(lows[s]), std::fabs(highs[s]), scale / 200});
      narrow = narrow && highs[s] - lows[s] <= 2 * kEpsilon * size;
    }
    if (narrow) break;
    kernels().sturm_counts(t.diagonal.data(), couplings.data(), static_cast<int64_t>(t.diagonal.size()), middles, tiny,
                           counts);
    for (size_t s = 0; s < kShifts; ++s) (counts[s] > static_cast<double>(first + s) ? lows[s] : highs[s]) = middles[s];
  }
  for (size_t s = 0; s < kShifts; ++s) values[s] = lows[s] + (highs[s] - lows[s]) / 2;
}

// x = (T - shift)^-1 x by Gaussian elimination with partial pivoting; zero pivots become `tiny`.
void solve_shifted(const Tridiagonal& t, double shift, double tiny, std::vector<double>* x) {
  const size_t n = t.diagonal.size();
  std::vector<double> pivot(n), first(n, 0.0), second(n, 0.0);
  double here = t.diagonal[0] - shift, next = n > 1 ? t.below[0] : 0, after = 0;
  for (size_t i = 0; i + 1 < n; ++i) {
    const double under = t.below[i], diagonal = t.diagonal[i + 1] - shift, right = i + 2 < n ? t.below[i + 1] : 0;
    if (std::fabs(here) >= std::fabs(under)) {
      if (std::fabs(here) < tiny) here = std::copysign(tiny, here);
      pivot[i] = here, first[i] = next, second[i] = after;
      const double factor = under / here;
      here = diagonal - factor * next;
      next = right - factor * after;
      (*x)[i + 1] -= factor * (*x)[i];
    } else {
      pivot[i] = under, first[i] = diagonal, second[i] = right;
      const double factor = here / under;
      here = next - factor * diagonal;
      next = after - factor * right;
      std::swap((*x)[i], (*x)[i + 1]);
      (*x)[i + 1] -= factor * (*x)[i];
    }
    after = 0;
  }
  pivot[n - 1] = std::fabs(here) < tiny ? std::copysign(tiny, here) : here;
  for (size_t i = n; i-- > 0;) {
    double value = (*x)[i];
    if (i + 1 < n) value -= first[i] * (*x)[i + 1];
    if (i + 2 < n) value -= second[i] * (*x)[i + 2];
    (*x)[i] = value / pivot[i];
  }
}

double normalise(double* x, size_t n) {
  double largest = 0;
  for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  if (largest == 0) return 0;
  for (size_t i = 0; i < n; ++i) x[i] /= largest;
  const double norm = std::sqrt(dot(x, x, n));
  for (size_t i = 0; i < n; ++i) x[i] /= norm;
  return norm * largest;
}

}  // namespace

Status largest_eigenpairs(Columns matrix, size_t count, std::vector<double>* values, Columns* vectors,
                          const std::atomic<bool>& abort) {
  const size_t n = matrix.rows;
  count = std::min(count, n);
  Tridiagonal t;
  if (!tridiagonalise(&matrix, &t, abort))
    return Status::error(Code::aborted, "the aggregation was stopped", "Start it again.");
  // Gershgorin's bounds.
  double low = t.diagonal[0], high = t.diagonal[0];
  for (size_t i = 0; i < n; ++i) {
    const double radius = (i > 0 ? std::fabs(t.below[i - 1]) : 0) + (i + 1 < n ? std::fabs(t.below[i]) : 0);
    low = std::min(low, t.diagonal[i] - radius);
    high = std::max(high, t.diagonal[i] + radius);
  }
  const double scale = std::max(std::fabs(low), std::fabs(high));
  const double tiny = std::max(scale * kEpsilon * kEpsilon, 1e-300);
  values->assign(count, 0.0);
  *vectors = Columns(n, count);
  std::vector<double> x(n), couplings(n, 0.0);
  for (size_t i = 1; i < n; ++i) couplings[i] = t.below[i - 1] * t.below[i - 1];
  double next[kShifts];
  for (size_t j = 0; j < count; ++j) {
    if (abort.load(std::memory_order_relaxed))
      return Status::error(Code::aborted, "the aggregation was stopped", "Start it again.");
    if (j % kShifts == 0) bisect(t, couplings, j, low - scale * kEpsilon, high + scale * kEpsilon, scale, tiny, next);
    (*values)[j] = next[j % kShifts];
    // A start that is the same everywhere and along no eigenvector.
    for (size_t i = 0; i < n; ++i) x[i] = 1 + 0.5 * static_cast<double>((i * 7919 + j * 104729) % 1009) / 1009;
    for (int round = 0; round < 4; ++round) {
      solve_shifted(t, (*values)[j], scale * kEpsilon, &x);
      normalise(x.data(), n);
      for (int twice = 0; twice < 2; ++twice) {
        for (size_t i = 0; i < j; ++i) axpy(-dot(vectors->col(i), x.data(), n), vectors->col(i), x.data(), n);
      }
      normalise(x.data(), n);
    }
    std::copy_n(x.begin(), n, vectors->col(j));
  }
  // Back through the reflectors.
  for (size_t j = 0; j < count; ++j) {
    double* column = vectors->col(j);
    for (size_t k = n - 1; k-- > 0;) {
      if (t.taus[k] == 0) continue;
      const double* v = matrix.col(k) + k + 1;
      axpy(-t.taus[k] * dot(v, column + k + 1, n - k - 1), v, column + k + 1, n - k - 1);
    }
  }
  return Status::ok();
}

}  // namespace oneround::aggregate
