// The basis of a block Lanczos iteration (krylov.h) and the matrix seen through it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "aggregate/columns.h"
#include "aggregate/panels.h"
#include "engine/status.h"

namespace oneround::aggregate {

// Vectors that are multiplied at a time: a row of product_tile's on the widest instruction set. An eigenvalue of higher
// multiplicity is found by probes.
inline constexpr size_t kKrylovBlock = 8;
// Of a product, in the largest value: what is below it is taken for zero.
inline constexpr double kKrylovRounding = 4e-15;

// An orthonormal basis V, blocks of kKrylovBlock columns, and its projection V' M V of a symmetric M.
class KrylovBasis {
 public:
  // `matrix` [n, n], both triangles, which must outlive the basis; room for `most` columns.
  KrylovBasis(const Panels& matrix, size_t most);

  size_t size() const { return size_; }
  // Length of a product with a unit vector, so far: about the largest eigenvalue.
  double largest() const { return largest_; }

  // The block to come is a fresh one: what the last block couples to stays a residual.
  void restart();
  // Takes blocks in, each made of what M leaves of the last one outside of the basis.
  Status grow_to(size_t size, const std::atomic<bool>& abort);

  // Of V' M V: its `count` largest eigenpairs and the residuals of the vectors that they stand for.
  Status ritz(size_t count, std::vector<double>* values, Columns* coordinates, std::vector<double>* residuals,
              const std::atomic<bool>& abort) const;
  // Eigenpairs, of whose vectors there are `coordinates` [size before, count], and the columns that have come since:
  // the largest pairs of M on the space of both.
  Status refine(std::vector<double>* values, Columns* coordinates, const std::atomic<bool>& abort) const;
  // V coordinates
  Columns combine(const Columns& coordinates) const;

 private:
  void grow();
  double norm(const double* x) const;
  Columns project_out(Columns* x, bool* small) const;
  Columns project_near(Columns* x) const;
  bool orthonormalise(double rounding, Columns* coupling);
  void separate();
  void draw(size_t j);

  size_t n_, size_ = 0;
  uint32_t stream_ = 0;
  double largest_ = 0;
  const Panels& matrix_;
  Panels columns_, rows_;
  Columns projection_, block_, before_, coupling_;
  std::vector<std::pair<size_t, Columns>> open_;  // first column and coupling of blocks that nothing follows
};

}  // namespace oneround::aggregate
