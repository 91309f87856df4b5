// One block of memory, taken before the first step and handed out in order. An arena that has no memory only counts,
// so that the budget told to the user is what the same code would take.
#pragma once

#include <algorithm>
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
    next_ = used_ = 0;
    return base_ != nullptr;
  }

  // Null while counting.
  template <class T>
  T* take(int64_t count) {
    const int64_t at = next_;
    next_ += round_up(count * static_cast<int64_t>(sizeof(T)));
    used_ = std::max(used_, next_);
    if (base_ == nullptr || next_ > capacity_) return nullptr;
    return reinterpret_cast<T*>(static_cast<char*>(base_) + at);
  }
  int64_t used() const { return used_; }

  // What is taken after back_to shares its memory with what was taken since place(): for buffers that are never in use
  // at the same time.
  int64_t place() const { return next_; }
  void back_to(int64_t place) { next_ = place; }
  void skip_used() { next_ = used_; }

 private:
  static constexpr int64_t kAlignment = 64;
  static int64_t round_up(int64_t bytes) { return (bytes + kAlignment) / kAlignment * kAlignment; }

  void* base_ = nullptr;
  int64_t capacity_ = 0;
  int64_t next_ = 0;
  int64_t used_ = 0;  // the most that next_ has been
};

}  // namespace oneround
