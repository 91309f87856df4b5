#include "engine/kept_pages.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace oneround {
namespace {

#if defined(__linux__)
// Not from the heap, which would keep holes between such pieces.
void* map_pages(size_t bytes) {
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
void unmap_pages(void* pages, size_t bytes) { munmap(pages, bytes); }
#else
void* map_pages(size_t bytes) { return std::aligned_alloc(64, bytes); }
void unmap_pages(void* pages, size_t) { std::free(pages); }
#endif

struct Kept {
  std::mutex mutex;
  size_t holders = 0;
  std::vector<std::pair<void*, size_t>> pieces;
};

// Never destroyed: a job's thread may outlive static destructors.
Kept& kept() {
  static Kept* const all = new Kept();
  return *all;
}

}  // namespace

KeptPages::KeptPages() {
  std::lock_guard<std::mutex> lock(kept().mutex);
  ++kept().holders;
}

KeptPages::~KeptPages() {
  std::vector<std::pair<void*, size_t>> pieces;
  {
    std::lock_guard<std::mutex> lock(kept().mutex);
    if (--kept().holders == 0) pieces.swap(kept().pieces);
  }
  for (const auto& [pages, bytes] : pieces) unmap_pages(pages, bytes);
}

void* take_pages(size_t bytes) {
  {
    std::lock_guard<std::mutex> lock(kept().mutex);
    auto& pieces = kept().pieces;
    const auto found = std::find_if(pieces.rbegin(), pieces.rend(), [&](const auto& p) { return p.second == bytes; });
    if (found != pieces.rend()) {
      void* const pages = found->first;
      *found = pieces.back();
      pieces.pop_back();
      return pages;
    }
  }
  return map_pages(bytes);
}

void give_pages_back(void* pages, size_t bytes) {
  {
    std::lock_guard<std::mutex> lock(kept().mutex);
    if (kept().holders > 0) {
      kept().pieces.push_back({pages, bytes});
      return;
    }
  }
  unmap_pages(pages, bytes);
}

}  // namespace oneround
