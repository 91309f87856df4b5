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

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace oneround {

template <class T>
struct ScratchAllocator {
  using value_type = T;
  ScratchAllocator() = default;
  template <class U>
  ScratchAllocator(const ScratchAllocator<U>&) {}

  T* allocate(size_t count) {
    if (count > static_cast<size_t>(PTRDIFF_MAX) / 2 / sizeof(T)) throw std::bad_alloc();
    const size_t bytes = count * sizeof(T);
    const bool large = bytes >= kLarge;
    const size_t alignment = large ? kHugePage : kLine;
    void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    // Advice only: without huge pages the memory is the same.
    if (large) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) { std::free(memory); }

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
  static constexpr size_t kHugePage = size_t{2} << 20;
  static constexpr size_t kLarge = size_t{1} << 20;  // below it a huge page would mostly be waste
};

// Of numbers only. resize() leaves new ones undefined; assign(count, 0) does not.
template <class T>
using Scratch = std::vector<T, ScratchAllocator<T>>;

}  // namespace oneround
