// The largest eigenpairs of a symmetric positive semidefinite matrix by block Lanczos with full reorthogonalisation:
// Golub and Underwood (1977); Golub and Van Loan, Matrix Computations, 4th edition, section 10.3. Few directions of a
// spectrum that decays, or of a flat one, need a basis of a fraction of the matrix's side.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "aggregate/columns.h"
#include "aggregate/panels.h"
#include "engine/status.h"

namespace oneround::aggregate {

// `matrix` [n, n], both triangles. values descending; vectors [n, count], orthonormal, and M orthogonal between them.
// values are below those of M by at most about 2e-7 of each, and together by at most about 2e-7 of the rest of the
// trace: where M = W'W, W v v' summed over the vectors misses W by at most 1e-7 more than the best matrix of this rank
// does. (Or by rounding, 4e-15 of the largest value.) `found` is false, and nothing else set, where that would take a
// basis of more than half of n: then the whole decomposition costs no more. The start is seeded: the same matrix gives
// the same bits.
Status krylov_eigenpairs(const Panels& matrix, size_t count, bool* found, std::vector<double>* values, Columns* vectors,
                         const std::atomic<bool>& abort);

}  // namespace oneround::aggregate
