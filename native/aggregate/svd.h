// Singular value decomposition of a small dense matrix: pivoted QR, then one-sided Jacobi on R'.
// Drmac and Veselic, New fast and accurate Jacobi SVD algorithm I, SIAM J. Matrix Anal. Appl. 29 (2008): the QR makes
// the columns nearly orthogonal, so that few sweeps remain, and small singular values keep their relative accuracy.
#pragma once

#include <atomic>
#include <vector>

#include "aggregate/columns.h"
#include "engine/status.h"

namespace oneround::aggregate {

// matrix = left diag(values) right', values descending. Only the values above about 4e-15 of the first have vectors:
// left [rows, kept], right [cols, kept], kept <= values.size() = min(rows, cols); the other values are 0.
struct Svd {
  Columns left;
  Columns right;
  std::vector<double> values;
};

Status svd(Columns matrix, Svd* out, const std::atomic<bool>& abort);

}  // namespace oneround::aggregate
