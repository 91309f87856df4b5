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

// p = A v over the trailing lower triangle that begins at `from`.
void symmetric_product(const Columns& m, size_t from, const double* v, double* p) {
  const size_t size = m.rows - from;
  std::fill(p, p + size, 0.0);
  for (size_t j = 0; j < size; ++j) {
    const double* column = m.col(from + j) + from + j;
    const size_t tail = size - j - 1;
    p[j] += column[0] * v[j] + dot(column + 1, v + j + 1, tail);
    axpy(v[j], column + 1, p + j + 1, tail);
  }
}

bool tridiagonalise(Columns* m, Tridiagonal* t, const std::atomic<bool>& abort) {
  const size_t n = m->rows;
  t->diagonal.assign(n, 0.0);
  t->below.assign(n, 0.0);
  t->taus.assign(n, 0.0);
  std::vector<double> v(n), p(n);
  for (size_t k = 0; k + 1 < n; ++k) {
    if (abort.load(std::memory_order_relaxed)) return false;
    double* column = m->col(k) + k + 1;
    const size_t size = n - k - 1;
    const double tail = dot(column + 1, column + 1, size - 1);
    if (tail == 0) {
      t->below[k] = column[0];
      continue;
    }
    const double norm = std::sqrt(column[0] * column[0] + tail);
    const double beta = column[0] > 0 ? -norm : norm;
    const double tau = (beta - column[0]) / beta;
    const double inverse = 1 / (column[0] - beta);
    for (size_t i = 1; i < size; ++i) column[i] *= inverse;
    column[0] = 1;
    t->below[k] = beta;
    t->taus[k] = tau;
    std::copy_n(column, size, v.begin());
    symmetric_product(*m, k + 1, v.data(), p.data());
    for (size_t i = 0; i < size; ++i) p[i] *= tau;
    axpy(-0.5 * tau * dot(p.data(), v.data(), size), v.data(), p.data(), size);
    // A -= v w' + w v', with w in p.
    for (size_t j = 0; j < size; ++j) {
      double* target = m->col(k + 1 + j) + k + 1 + j;
      axpy(-p[j], v.data() + j, target, size - j);
      axpy(-v[j], p.data() + j, target, size - j);
    }
  }
  for (size_t i = 0; i < n; ++i) t->diagonal[i] = m->at(i, i);
  return true;
}

// How many eigenvalues lie above x (Sturm's sequence).
size_t count_above(const Tridiagonal& t, double x, double tiny) {
  size_t count = 0;
  double pivot = 1;
  for (size_t i = 0; i < t.diagonal.size(); ++i) {
    const double coupling = i == 0 ? 0 : t.below[i - 1] * t.below[i - 1];
    pivot = t.diagonal[i] - x - coupling / pivot;
    if (std::fabs(pivot) < tiny) pivot = -tiny;
    count += pivot > 0;
  }
  return count;
}

double bisect(const Tridiagonal& t, size_t index, double low, double high, double tiny) {
  for (int step = 0; step < 120 && high - low > 2 * kEpsilon * std::max(std::fabs(low), std::fabs(high)); ++step) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (count_above(t, middle, tiny) > index ? low : high) = middle;
  }
  return low + (high - low) / 2;
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
  std::vector<double> x(n);
  for (size_t j = 0; j < count; ++j) {
    if (abort.load(std::memory_order_relaxed))
      return Status::error(Code::aborted, "the aggregation was stopped", "Start it again.");
    (*values)[j] = bisect(t, j, low - scale * kEpsilon, high + scale * kEpsilon, tiny);
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
