// Sums of low-rank products, sum_i weight_i B_i A_i, without the dense matrix. All in double and on one
// thread, in loops that give the same bits on every instruction set.
#pragma once

#include <atomic>
#include <cstddef>
#include <span>
#include <vector>

#include "engine/status.h"

namespace oneround::aggregate {

// weight * B A with A [rank, in] and B [out, rank], row-major. The views must outlive the call.
struct Factors {
  size_t rank = 0;
  std::span<const float> a;
  std::span<const float> b;
  double weight = 0;
};

struct FactorizedSum {
  size_t rank = 0;
  std::vector<float> a;                 // [rank, in] = sqrt(S) V'
  std::vector<float> b;                 // [out, rank] = U sqrt(S)
  std::vector<double> singular_values;  // all min(in, out, sum of ranks) of the exact sum, descending
};

// Singular values below this share of the first are no rank: the factors are f32 and carry 6e-8 of rounding each.
inline constexpr double kNumericRank = 1e-7;

// The best factors of the sum: QR of the two stacks, SVD of the small Rb Ra'. Keeps the smallest rank <= max_rank
// whose relative Frobenius error is <= tolerance, and never more than the numeric rank; a sum of zero has rank 0.
// In each column of B the entry of largest magnitude (the first of equals) is positive.
Status factorize_sum(size_t in, size_t out, std::span<const Factors> factors, size_t max_rank, double tolerance,
                     FactorizedSum* result, const std::atomic<bool>& abort);

// ||sum||_F^2 = sum_kl (b_k . b_l) (a_k . a_l) over the stacked columns. Where terms cancel it is only good to about
// 1e-16 of the sum of their squared norms, so 1e-8 in a norm: take the singular values of the difference there.
double sum_squared_norm(size_t in, size_t out, std::span<const Factors> factors);

// Shapes fit and everything is finite.
Status check_factors(size_t in, size_t out, std::span<const Factors> factors);

}  // namespace oneround::aggregate
