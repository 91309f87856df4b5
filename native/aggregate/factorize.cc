#include "aggregate/factorize.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "aggregate/columns.h"
#include "aggregate/qr.h"
#include "aggregate/svd.h"

namespace oneround::aggregate {
namespace {

// A factor of weight 0 takes no part, so that a withdrawn client leaves no trace in rounding either.
size_t total_rank(std::span<const Factors> factors) {
  size_t total = 0;
  for (const Factors& f : factors) total += f.weight == 0 ? 0 : f.rank;
  return total;
}

// [out, sum of ranks]
Columns stack_b(size_t out, std::span<const Factors> factors) {
  Columns stack(out, total_rank(factors));
  size_t at = 0;
  for (const Factors& f : factors) {
    if (f.weight == 0) continue;
    for (size_t k = 0; k < f.rank; ++k, ++at) {
      double* column = stack.col(at);
      for (size_t i = 0; i < out; ++i) column[i] = static_cast<double>(f.b[i * f.rank + k]);
    }
  }
  return stack;
}

// [in, sum of ranks], each column a row of A times its weight
Columns stack_a(size_t in, std::span<const Factors> factors) {
  Columns stack(in, total_rank(factors));
  size_t at = 0;
  for (const Factors& f : factors) {
    if (f.weight == 0) continue;
    for (size_t k = 0; k < f.rank; ++k, ++at) {
      double* column = stack.col(at);
      const float* row = f.a.data() + k * in;
      for (size_t i = 0; i < in; ++i) column[i] = f.weight * static_cast<double>(row[i]);
    }
  }
  return stack;
}

// Rb Ra', [rows of Rb, rows of Ra]; both are upper trapezoidal with `inner` columns.
Columns small_product(const HouseholderQr& b, const HouseholderQr& a, size_t inner) {
  Columns product(b.rank(), a.rank());
  for (size_t k = 0; k < inner; ++k) {
    const size_t height = std::min(k + 1, b.rank());
    for (size_t j = 0; j < std::min(k + 1, a.rank()); ++j) {
      const double scale = a.r(j, k);
      double* column = product.col(j);
      for (size_t i = 0; i < height; ++i) column[i] += scale * b.r(i, k);
    }
  }
  return product;
}

size_t choose_rank(const std::vector<double>& values, size_t max_rank, double tolerance) {
  if (values.empty() || values[0] == 0) return 0;
  size_t numeric = values.size();
  while (numeric > 0 && values[numeric - 1] <= kNumericRank * values[0]) --numeric;
  double total = 0;
  for (size_t j = values.size(); j-- > 0;) total += values[j] * values[j];
  size_t rank = values.size();
  double lost = 0;
  while (rank > 0) {
    const double next = lost + values[rank - 1] * values[rank - 1];
    if (std::sqrt(next) > tolerance * std::sqrt(total)) break;
    lost = next;
    --rank;
  }
  return std::min({rank, numeric, max_rank});
}

// Squares of f32 numbers do not overflow in double: their sum is finite exactly where all of them are.
bool finite(std::span<const float> values) {
  return std::isfinite(kernels().sum_of_squares(values.data(), static_cast<int64_t>(values.size())));
}

Status aborted() { return Status::error(Code::aborted, "the aggregation was stopped", "Start it again."); }

}  // namespace

Status check_factors(size_t in, size_t out, std::span<const Factors> factors) {
  for (size_t i = 0; i < factors.size(); ++i) {
    const Factors& f = factors[i];
    if (f.a.size() != f.rank * in || f.b.size() != out * f.rank) {
      return Status::error(Code::argument,
                           "pair " + std::to_string(i) + " has " + std::to_string(f.a.size()) + " and " +
                               std::to_string(f.b.size()) + " numbers for rank " + std::to_string(f.rank) + " of [" +
                               std::to_string(out) + ", " + std::to_string(in) + "]",
                           "Pass A as [rank, in] and B as [out, rank].");
    }
    if (!std::isfinite(f.weight) || !finite(f.a) || !finite(f.b)) {
      return Status::error(Code::numeric, "pair " + std::to_string(i) + " holds a value that is not finite",
                           "Leave this update out and let its client train again.");
    }
  }
  return Status::ok();
}

Status factorize_sum(size_t in, size_t out, std::span<const Factors> factors, size_t max_rank, double tolerance,
                     FactorizedSum* result, const std::atomic<bool>& abort) {
  Status status = check_factors(in, out, factors);
  if (!status.is_ok()) return status;
  const size_t inner = total_rank(factors);

  HouseholderQr b, a;
  if (!b.factor(stack_b(out, factors), abort) || !a.factor(stack_a(in, factors), abort)) return aborted();
  Svd small;
  status = svd(small_product(b, a, inner), &small, abort);
  if (!status.is_ok()) return status;

  const size_t rank = choose_rank(small.values, max_rank, tolerance);
  result->rank = rank;
  result->a.assign(rank * in, 0.0f);
  result->b.assign(out * rank, 0.0f);
  std::vector<double> u(out), v(in);
  for (size_t j = 0; j < rank; ++j) {
    if (abort.load(std::memory_order_relaxed)) return aborted();
    std::fill(u.begin(), u.end(), 0.0);
    std::fill(v.begin(), v.end(), 0.0);
    std::copy_n(small.left.col(j), small.left.rows, u.begin());
    std::copy_n(small.right.col(j), small.right.rows, v.begin());
    b.apply_q(u.data());
    a.apply_q(v.data());
    double largest = 0;
    for (double value : u) {
      if (std::fabs(value) > std::fabs(largest)) largest = value;
    }
    const double scale = std::copysign(std::sqrt(small.values[j]), largest);
    for (size_t i = 0; i < out; ++i) result->b[i * rank + j] = static_cast<float>(scale * u[i]);
    for (size_t i = 0; i < in; ++i) result->a[j * in + i] = static_cast<float>(scale * v[i]);
  }
  result->singular_values = std::move(small.values);
  return Status::ok();
}

double sum_squared_norm(size_t in, size_t out, std::span<const Factors> factors) {
  const Columns b = stack_b(out, factors);
  const Columns a = stack_a(in, factors);
  double total = 0;
  for (size_t k = 0; k < b.cols; ++k) {
    double row = 0.5 * dot(b.col(k), b.col(k), out) * dot(a.col(k), a.col(k), in);
    for (size_t l = k + 1; l < b.cols; ++l) row += dot(b.col(k), b.col(l), out) * dot(a.col(k), a.col(l), in);
    total += 2 * row;
  }
  return std::max(0.0, total);
}

}  // namespace oneround::aggregate
