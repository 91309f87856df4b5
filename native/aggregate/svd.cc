#include "aggregate/svd.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

#include "aggregate/qr.h"

namespace oneround::aggregate {
namespace {

constexpr double kEpsilon = 2.220446049250313e-16;
// Columns that the pivoted QR leaves below this share of the first are rounding noise of the products before it.
constexpr double kNoise = 4e-15;
// Jacobi's last sweeps converge quadratically; more than about ten are not seen even at 1000 columns.
constexpr int kMostSweeps = 60;

Columns transposed(const Columns& m) {
  Columns t(m.cols, m.rows);
  for (size_t j = 0; j < m.cols; ++j) {
    for (size_t i = 0; i < m.rows; ++i) t.at(j, i) = m.at(i, j);
  }
  return t;
}

Status aborted() { return Status::error(Code::aborted, "the aggregation was stopped", "Start it again."); }

// Makes the columns of x orthogonal by plane rotations; v collects them (x_new = x_old v).
Status jacobi(Columns* x, Columns* v, const std::atomic<bool>& abort) {
  const size_t n = x->cols;
  const double tolerance = kEpsilon * std::max(4.0, std::sqrt(static_cast<double>(x->rows)));
  std::vector<double> squares(n);
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    bool rotated = false;
    for (size_t j = 0; j < n; ++j) squares[j] = dot(x->col(j), x->col(j), x->rows);
    for (size_t p = 0; p + 1 < n; ++p) {
      if (abort.load(std::memory_order_relaxed)) return aborted();
      for (size_t q = p + 1; q < n; ++q) {
        const double g = dot(x->col(p), x->col(q), x->rows);
        if (std::fabs(g) <= tolerance * std::sqrt(squares[p]) * std::sqrt(squares[q])) continue;
        rotated = true;
        const double zeta = (squares[q] - squares[p]) / (2 * g);
        const double root = std::fabs(zeta) + std::sqrt(1 + zeta * zeta);
        const double t = zeta >= 0 ? 1 / root : -1 / root;
        const double c = 1 / std::sqrt(1 + t * t);
        const double s = c * t;
        rotate(x->col(p), x->col(q), c, s, x->rows);
        rotate(v->col(p), v->col(q), c, s, n);
        squares[p] = std::max(0.0, squares[p] - t * g);
        squares[q] += t * g;
      }
    }
    if (!rotated) return Status::ok();
  }
  return Status::error(Code::numeric, "the singular values did not converge",
                       "Check the factors for extreme values, or aggregate with the method stack.");
}

}  // namespace

Status svd(Columns matrix, Svd* out, const std::atomic<bool>& abort) {
  if (matrix.rows < matrix.cols) {
    Status status = svd(transposed(matrix), out, abort);
    std::swap(out->left, out->right);
    return status;
  }
  const size_t rows = matrix.rows, cols = matrix.cols;
  out->values.assign(cols, 0.0);

  // A power of two brings the largest entry near 1, so that squares neither overflow nor vanish.
  double largest = 0;
  bool finite = true;
  for (double value : matrix.data) {
    finite = finite && std::isfinite(value);
    largest = std::max(largest, std::fabs(value));
  }
  if (!finite) {
    return Status::error(Code::numeric, "the weighted sum of the factors overflows", "Check the weights and scales.");
  }
  int exponent = 0;
  std::frexp(largest, &exponent);
  for (double& value : matrix.data) value = std::ldexp(value, -exponent);

  HouseholderQr qr;
  if (!qr.factor_pivoted(std::move(matrix), kNoise, abort)) return aborted();
  const size_t kept = qr.rank();
  // x = R' = u diag(values) v', hence matrix = (Q v) diag(values) (P u)'.
  Columns x(cols, kept);
  for (size_t i = 0; i < kept; ++i) {
    for (size_t j = i; j < cols; ++j) x.at(j, i) = qr.r(i, j);
  }
  Columns v(kept, kept);
  for (size_t i = 0; i < kept; ++i) v.at(i, i) = 1;
  Status status = jacobi(&x, &v, abort);
  if (!status.is_ok()) return status;

  std::vector<double> norms(kept);
  for (size_t j = 0; j < kept; ++j) norms[j] = std::sqrt(dot(x.col(j), x.col(j), cols));
  std::vector<size_t> order(kept);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return norms[a] > norms[b]; });

  out->left = Columns(rows, kept);
  out->right = Columns(cols, kept);
  for (size_t j = 0; j < kept; ++j) {
    const size_t from = order[j];
    out->values[j] = std::ldexp(norms[from], exponent);
    std::copy_n(v.col(from), kept, out->left.col(j));
    qr.apply_q(out->left.col(j));
    if (norms[from] == 0) continue;
    for (size_t i = 0; i < cols; ++i) out->right.at(qr.permutation()[i], j) = x.at(i, from) / norms[from];
  }
  return Status::ok();
}

}  // namespace oneround::aggregate
