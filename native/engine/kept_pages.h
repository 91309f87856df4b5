// Large memory that one piece of work gives back and the next one takes, past the system: fresh pages are cleared
// first, and on a virtual machine may have to be fetched from the host, which costs several times as much.
#pragma once

#include <cstddef>

namespace oneround {

// While one of these lives, pages that are given back are kept for whoever asks for as many. The last one's end gives
// them to the system. On any thread.
class KeptPages {
 public:
  KeptPages();
  ~KeptPages();
  KeptPages(const KeptPages&) = delete;
  KeptPages& operator=(const KeptPages&) = delete;
};

// `bytes` is a multiple of kHugePage. Huge pages where the system has them; kept ones hold old numbers. Null where
// memory ends.
inline constexpr size_t kHugePage = size_t{2} << 20;
void* take_pages(size_t bytes);
void give_pages_back(void* pages, size_t bytes);

}  // namespace oneround
