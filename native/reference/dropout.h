// The random words behind LoRA dropout, addressed as engine/backend.h says. Whether a word keeps its element is
// the implementation's own threshold; y = x / (1 - rate) where it does.
#pragma once

#include <cstdint>

#include "engine/backend.h"
#include "reference/philox.h"

namespace oneround::reference {

inline uint32_t dropout_word(Dropout dropout, uint32_t segment_counter, int64_t row_of_segment, int64_t column) {
  const auto words = philox4x32({dropout.seed, dropout.layer}, {segment_counter, static_cast<uint32_t>(row_of_segment),
                                                                static_cast<uint32_t>(column / 4), 0});
  return words[static_cast<size_t>(column % 4)];
}

}  // namespace oneround::reference
