// The CPU's Backend: owns its worker threads and scratch. Made once a session.
#pragma once

#include <memory>

#include "engine/backend.h"

namespace oneround {

class CpuBackend {
 public:
  // isa: null for the best of this machine (or what ONEROUND_ISA forces); else "scalar", "avx2", "avx512".
  // Returns null where this machine lacks the set.
  static std::unique_ptr<CpuBackend> create(int threads, const char* isa);
  virtual ~CpuBackend() = default;
  virtual const Backend& table() const = 0;
  // Takes the scratch for calls within these bounds. False: not enough memory.
  virtual bool reserve(int64_t max_rows, int64_t max_cols, int64_t longest_segment, AttentionShape shape) = 0;
};

}  // namespace oneround
