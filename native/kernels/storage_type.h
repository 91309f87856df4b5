// engine/tensor_view.h's Type as plain numbers, for files that may not include headers with inline functions.
#pragma once

namespace oneround {

constexpr int kF32 = 0;
constexpr int kF16 = 1;
constexpr int kBF16 = 2;
constexpr int kQ4_1 = 3;
constexpr int kQ8_0 = 4;

}  // namespace oneround
