// Matrices of inner products, in double from f32 numbers in one chain per element: the same bits everywhere.
#pragma once

#include <atomic>
#include <cstddef>
#include <span>
#include <vector>

#include "aggregate/factorize.h"
#include "aggregate/panels.h"
#include "engine/status.h"

namespace oneround::aggregate {

// gram = W'W for W [rows, cols] row-major; both triangles. False where `abort` was set meanwhile.
bool column_gram(std::span<const float> w, size_t rows, size_t cols, Panels* gram, const std::atomic<bool>& abort);

// gram[i, j] = weight_i weight_j <B_i A_i, B_j A_j> = weight_i weight_j sum((B_i' B_j) * (A_i A_j')), [m, m], from
// inner products of factors: (in + out) R^2 / 2 multiplications for R the sum of the ranks, and no dense matrix.
Status product_gram(size_t in, size_t out, std::span<const Factors> factors, std::vector<double>* gram,
                    const std::atomic<bool>& abort);

}  // namespace oneround::aggregate
