// Seeded columns that are orthonormal, the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oneround::aggregate {

// out [rows, cols], cols <= rows, row-major: the Q of a Gaussian matrix, uniform among all such matrices (Stewart,
// SIAM J. Numer. Anal. 17, 1980), computed in double and rounded once.
void orthonormal_columns(uint32_t seed, uint32_t stream, size_t rows, size_t cols, float* out);

}  // namespace oneround::aggregate
