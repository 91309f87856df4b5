// A Backend that measures another one: calls, seconds, arithmetic and bytes of every operation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/backend.h"

namespace oneround {

struct OperationProfile {
  const char* name = nullptr;
  int64_t calls = 0;
  double seconds = 0;
  double flop = 0;   // of products and attention (its causal half), two a multiply-add; else 0
  double bytes = 0;  // of the operands, each counted once a call
};

class ProfiledBackend {
 public:
  // `inner` must outlive this.
  explicit ProfiledBackend(const Backend& inner);
  ProfiledBackend(const ProfiledBackend&) = delete;
  ProfiledBackend& operator=(const ProfiledBackend&) = delete;

  const Backend& table() const { return table_; }
  // Operations that were called since the last call of this.
  std::vector<OperationProfile> take();

  static constexpr std::size_t kOperations = 40;
  const Backend& inner;
  std::array<OperationProfile, kOperations> operations;

 private:
  Backend table_;
};

}  // namespace oneround
