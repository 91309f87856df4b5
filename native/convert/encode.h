// f32 to the storage types that a merged model is written in.
#pragma once

#include <cstdint>

#include "engine/tensor_view.h"

namespace oneround::convert {

// Types that encode() writes.
constexpr bool is_encodable(Type type) {
  return type == Type::f32 || type == Type::f16 || type == Type::bf16 || type == Type::q8_0;
}

// out = x as `type`; count is a multiple of the type's block. The bits are ggml's: halves to the nearest, ties to even;
// a Q8_0 block {f16 d, int8 q[32]} from d = max |x| / 127 and q = x * (1 / d) to the nearest, ties away from zero, with
// d still in f32. Returns how many finite numbers or scales became infinite (f16 ends at 65504).
int64_t encode(Type type, const float* x, int64_t count, uint8_t* out);

}  // namespace oneround::convert
