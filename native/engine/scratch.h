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
  static constexpr size_t kHugePage = size_t{2} << 20;
  static constexpr size_t kLarge = size_t{1} << 20;  // below it a huge page would mostly be waste

  static bool is_large(size_t count) { return count * sizeof(T) >= kLarge; }
  static size_t lines(size_t count) { return (count * sizeof(T) + kLine - 1) / kLine * kLine; }
  static size_t pages(size_t count) { return (count * sizeof(T) + kHugePage - 1) / kHugePage * kHugePage; }

#if defined(__linux__)
  // From the system and back to it: the heap would keep holes between such pieces.
  static void* take_pages(size_t bytes) {
    void* const whole = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (whole == MAP_FAILED) return nullptr;
    char* const first = static_cast<char*>(whole);
    const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(whole) % kHugePage) % kHugePage;
    if (before > 0) munmap(first, before);
    munmap(first + before + bytes, kHugePage - before);
    // Advice only: without huge pages the memory is the same.
    madvise(first + before, bytes, MADV_HUGEPAGE);
    return first + before;
  }
  static void give_pages_back(void* memory, size_t bytes) { munmap(memory, bytes); }
#else
  static void* take_pages(size_t bytes) { return std::aligned_alloc(kLine, bytes); }
  static void give_pages_back(void* memory, size_t) { std::free(memory); }
#endif
};

// Of numbers only. resize() leaves new ones undefined; assign(count, 0) does not.
template <class T>
using Scratch = std::vector<T, ScratchAllocator<T>>;

}  // namespace oneround
