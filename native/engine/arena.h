// One block of memory, taken before the first step and handed out in order. An arena that has no memory only counts,
// so that the budget told to the user is what the same code would take.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace oneround {

class Arena {
 public:
  Arena() = default;
  ~Arena() { std::free(base_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // False: the system refused.
  bool reserve(int64_t bytes) {
    std::free(base_);
    base_ = std::aligned_alloc(kAlignment, static_cast<size_t>(round_up(bytes)));
    capacity_ = base_ == nullptr ? 0 : round_up(bytes);
    used_ = 0;
    return base_ != nullptr;
  }

  // Null while counting.
  template <class T>
  T* take(int64_t count) {
    const int64_t at = used_;
    used_ += round_up(count * static_cast<int64_t>(sizeof(T)));
    if (base_ == nullptr || used_ > capacity_) return nullptr;
    return reinterpret_cast<T*>(static_cast<char*>(base_) + at);
  }
  int64_t used() const { return used_; }

 private:
  static constexpr int64_t kAlignment = 64;
  static int64_t round_up(int64_t bytes) { return (bytes + kAlignment) / kAlignment * kAlignment; }

  void* base_ = nullptr;
  int64_t capacity_ = 0;
  int64_t used_ = 0;
};

}  // namespace oneround
