// The CPU's Backend: owns its worker threads and scratch. Made once a session.
#pragma once

#include <memory>

#include "engine/backend.h"

namespace oneround {

// How products are computed: f32 throughout, or operands rounded to bf16 and summed in f32. What trains, its gradients,
// the optimizer's state, norms, softmax and all that is kept are f32 either way.
enum class Compute { f32, bf16 };

class CpuBackend {
 public:
  // isa: null for the best of this machine (or what ONEROUND_ISA forces); else "scalar", "avx2", "avx512" or
  // "avx512bf16". Returns null where this machine lacks the set, or the set lacks bf16.
  static std::unique_ptr<CpuBackend> create(int threads, const char* isa, Compute compute = Compute::f32);
  static bool has_bf16(const char* isa);
  virtual ~CpuBackend() = default;
  virtual const Backend& table() const = 0;
  // Takes the scratch for calls within these bounds. False: not enough memory.
  virtual bool reserve(int64_t max_rows, int64_t max_cols, int64_t longest_segment, AttentionShape shape) = 0;
};

}  // namespace oneround
