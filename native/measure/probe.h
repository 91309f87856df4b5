// Gradients of one batch at two points of the weights: what smoothness L, curvature and the disagreement of clients are
// made of. A point is the base plus a sum of adapters, merged into f32 values of the tensors that are looked at.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/thread_pool.h"
#include "train/session.h"

namespace oneround {

// Added to one tensor: weight * B A [out, in], or weight * a where `a` is a dense difference as stored (rank 0).
struct PointTerm {
  std::string tensor;
  int64_t rank = 0;
  double weight = 1;
  std::vector<float> a;  // [rank, in]; dense: as the tensor is stored
  std::vector<float> b;  // [out, rank]; dense: empty
};

// Squared norms and products of one tensor, in double. x: this point and its gradient g; x0, g0: the kept ones.
struct TensorComparison {
  double point = 0;          // x . x
  double step = 0;           // (x - x0) . (x - x0)
  double gradient = 0;       // g . g
  double kept_gradient = 0;  // g0 . g0
  double product = 0;        // g . g0
  double change = 0;         // (g - g0) . (g - g0)
  double slope = 0;          // g . (x - x0)
  double bend = 0;           // (g - g0) . (x - x0)
};

struct ProbeOptions {
  std::vector<std::string> tensors;
  int threads = 1;
  int64_t rows_per_pass = 0;
  int64_t longest_example = 0;
};

class Probe {
 public:
  static Status create(std::shared_ptr<const BaseWeights> base, ProbeOptions options, std::unique_ptr<Probe>* out);
  // What create() would take, without taking it.
  static Status budget_of(std::shared_ptr<const BaseWeights> base, ProbeOptions options, MemoryBudget* out);

  const MemoryBudget& budget() const { return session_->budget(); }
  int64_t count() const { return session_->parameters().count(); }

  Status check(const std::vector<PointTerm>& terms) const;
  Status check(const Batch& batch) const { return session_->check(batch); }

  // x = base + sum of the terms.
  Status place(const std::vector<PointTerm>& terms, const std::atomic<bool>& abort);
  // g = gradient of the batch's mean loss at x, without dropout.
  Status gradient(const Batch& batch, const std::atomic<bool>& abort, StepResult* out);
  // x0 = x; g0 = weight * g, or g0 += weight * g where `add`.
  void keep(double weight, bool add);
  // x = x0 + length * n / |n|, n standard normal: block j of 65536 numbers from Philox(seed, draw * 65536 + j).
  void step_random(uint32_t seed, uint32_t draw, double length);
  // x = x0 + length * (g - g0) / |g - g0|: a step of power iteration on finite differences.
  Status step_along_change(double length);
  // One entry a tensor, in the order of the options.
  std::vector<TensorComparison> compare();

 private:
  // Calls body(first, count, block) for blocks of the flat buffer that never cross a tensor.
  template <class Body>
  void for_blocks(const Body& body);

  std::unique_ptr<Session> session_;
  std::unique_ptr<ThreadPool> pool_;
  struct Block {
    int64_t first, count;
    size_t slot;
  };
  std::vector<Block> blocks_;
  int64_t rows_per_pass_ = 0;
};

// Squared Frobenius norms of tensors as the base's file holds them, dequantised a few rows at a time, in double.
Status squared_norms(const BaseWeights& base, const std::vector<std::string>& tensors, const std::atomic<bool>& abort,
                     std::vector<double>* out);

}  // namespace oneround
