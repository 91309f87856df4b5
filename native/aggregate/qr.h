// Householder QR in double. Q stays as reflectors H_0 H_1 ... with H_i = 1 - tau_i v_i v_i', v_i[i] = 1.
// Golub and Van Loan, Matrix Computations, 4th edition, section 5.2; column pivoting section 5.4.2.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "aggregate/columns.h"

namespace oneround::aggregate {

class HouseholderQr {
 public:
  // Takes [rows, cols] of any shape. False where `abort` was set meanwhile.
  bool factor(Columns matrix, const std::atomic<bool>& abort);
  // The same with the largest remaining column first; stops where all remaining columns are below `tiny` times the
  // first pivot. Then column j of Q R is column permutation()[j] of the matrix.
  bool factor_pivoted(Columns matrix, double tiny, const std::atomic<bool>& abort);

  // Rows of R that were computed: min(rows, cols), or fewer after pivoting stopped.
  size_t rank() const { return tau_.size(); }
  // R[i, j] for i <= j, i < rank().
  double r(size_t i, size_t j) const { return packed_.at(i, j); }
  const std::vector<size_t>& permutation() const { return permutation_; }
  // column = Q column; `column` has `rows` entries.
  void apply_q(double* column) const;

 private:
  void reflect(size_t i, double* column) const;
  void make_reflector(size_t i);

  Columns packed_;  // R on and above the diagonal, the tails of v below
  std::vector<double> tau_;
  std::vector<size_t> permutation_;
};

}  // namespace oneround::aggregate
