#include "aggregate/columns.h"

#include <cstdlib>

namespace oneround::aggregate {

const Kernels& kernels() {
  static const Kernels& chosen = []() -> const Kernels& {
    const char* forced = std::getenv("ONEROUND_ISA");
    const Kernels* wanted = select_kernels(forced != nullptr && forced[0] != '\0' ? forced : nullptr);
    // A set that this machine lacks is refused where sessions are made; sums have the same bits on any.
    return wanted != nullptr ? *wanted : *kernels_scalar();
  }();
  return chosen;
}

}  // namespace oneround::aggregate
