// Dense results, one layer at a time: sums, their norms, and the best factors of a dense matrix.
#pragma once

#include <atomic>
#include <cstddef>
#include <span>
#include <vector>

#include "aggregate/factorize.h"
#include "engine/status.h"

namespace oneround::aggregate {

// values = sum_i weight_i B_i A_i + dense_weight * dense, [out, in], summed in double in the order given and then
// rounded; `dense` may be empty. Returns the squared Frobenius norm before rounding.
Status dense_sum(size_t in, size_t out, std::span<const Factors> factors, std::span<const float> dense,
                 double dense_weight, std::vector<float>* values, double* squared_norm, const std::atomic<bool>& abort);

struct FactorizedDense {
  FactorizedSum factors;  // singular_values: those that were computed, at least `rank`
  double norm = 0;        // Frobenius norm of the matrix
  double lost = 0;        // of what the factors leave out
};

// The best factors of a dense matrix [out, in]: as factorize_sum. Few of many directions come from the eigenvectors of
// the smaller Gram matrix: what they leave out is at most 1e-7 more than the least that is possible, and told to about
// 1e-8 of the norm; else by Jacobi.
Status factorize_dense(size_t in, size_t out, std::span<const float> values, size_t max_rank, double tolerance,
                       FactorizedDense* result, const std::atomic<bool>& abort);

// The same of a matrix that is given as it stands, with at least as many rows as columns: turned to [in, out] where
// is_wide(in, out).
Status factorize_tall(size_t in, size_t out, std::span<const float> tall, size_t max_rank, double tolerance,
                      FactorizedDense* result, const std::atomic<bool>& abort);

inline bool is_wide(size_t in, size_t out) { return in > out; }

}  // namespace oneround::aggregate
