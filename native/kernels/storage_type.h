// engine/tensor_view.h's Type as plain numbers, for files that may not include headers with inline functions.
#pragma once

#include <cstdint>

namespace oneround {

constexpr int kF32 = 0;
constexpr int kF16 = 1;
constexpr int kBF16 = 2;
constexpr int kQ4_1 = 3;
constexpr int kQ8_0 = 4;
// 5 is i32, which is never a weight
constexpr int kQ4_0 = 6;
constexpr int kQ5_0 = 7;
constexpr int kQ5_1 = 8;
constexpr int kQ2_K = 9;
constexpr int kQ3_K = 10;
constexpr int kQ4_K = 11;
constexpr int kQ5_K = 12;
constexpr int kQ6_K = 13;

// Bytes of 32 weights where rows are so short that the processor's own reading ahead comes too late; 0 for other types.
static inline int64_t short_block(int type) { return type == kQ4_1 ? 20 : type == kQ8_0 ? 34 : 0; }

}  // namespace oneround
