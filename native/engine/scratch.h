// Large working memory that is written before it is read: a vector whose numbers begin undefined, and whose memory
// comes in huge pages where the system has them. A page of 4 KiB costs a fault of 1 to 2 microseconds when it is first
// touched, which is more than most sums spend on its numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include "engine/kept_pages.h"

namespace oneround {

template <class T>
struct ScratchAllocator {
  using value_type = T;
  ScratchAllocator() = default;
  template <class U>
  ScratchAllocator(const ScratchAllocator<U>&) {}

  T* allocate(size_t count) {
    if (count > static_cast<size_t>(PTRDIFF_MAX) / 2 / sizeof(T)) throw std::bad_alloc();
    void* memory = is_large(count) ? take_pages(pages(count)) : std::aligned_alloc(kLine, lines(count));
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t count) {
    if (is_large(count)) {
      give_pages_back(memory, pages(count));
    } else {
      std::free(memory);
    }
  }

  // Numbers without a value stay undefined.
  template <class U>
  void construct(U*) {}
  template <class U, class... Arguments>
  void construct(U* at, Arguments&&... arguments) {
    ::new (static_cast<void*>(at)) U(std::forward<Arguments>(arguments)...);
  }
  bool operator==(const ScratchAllocator&) const { return true; }

 private:
  static constexpr size_t kLine = 64;
  static constexpr size_t kLarge = size_t{1} << 20;  // below it a huge page would mostly be waste

  static bool is_large(size_t count) { return count * sizeof(T) >= kLarge; }
  static size_t lines(size_t count) { return (count * sizeof(T) + kLine - 1) / kLine * kLine; }
  static size_t pages(size_t count) { return (count * sizeof(T) + kHugePage - 1) / kHugePage * kHugePage; }
};

// Of numbers only. resize() leaves new ones undefined; assign(count, 0) does not.
template <class T>
using Scratch = std::vector<T, ScratchAllocator<T>>;

}  // namespace oneround
