// The largest eigenvalues and eigenvectors of a symmetric matrix in double: Householder tridiagonalisation, bisection
// and inverse iteration. Golub and Van Loan, Matrix Computations, 4th edition, sections 8.3.1, 8.4.1 and 8.2.2.
#pragma once

#include <atomic>
#include <vector>

#include "aggregate/columns.h"
#include "engine/status.h"

namespace oneround::aggregate {

// `matrix` [n, n], of which only the lower triangle is read. values descending; vectors [n, count], orthonormal.
Status largest_eigenpairs(Columns matrix, size_t count, std::vector<double>* values, Columns* vectors,
                          const std::atomic<bool>& abort);

}  // namespace oneround::aggregate
