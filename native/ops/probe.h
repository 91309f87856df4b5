// What the machine can do at most, and what one product does: for benchmarks.
#pragma once

#include <vector>

#include "engine/status.h"
#include "engine/tensor_view.h"
#include "ops/cpu_backend.h"

namespace oneround {

struct ProductProbe {
  Type type = Type::f32;
  int64_t rows = 0, in = 0, out = 0;
  bool backward = false;  // d_x instead of forward
  Compute compute = Compute::f32;
  int threads = 1;
  int repeats = 1;
};

// Multiply-adds a second of all threads, times two; each runs for about `seconds`.
Status probe_peak(Compute compute, int threads, double seconds, double* out);
// Bytes a second that all threads read together from `bytes` of memory.
Status probe_bandwidth(int threads, int64_t bytes, double seconds, double* out);
// Seconds of each repeat of one product on made-up numbers.
Status probe_product(const ProductProbe& probe, std::vector<double>* seconds);

}  // namespace oneround
