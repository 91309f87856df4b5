// Rows of base + adapter in the order, layout and type of a file: out = round(W + scale * B A + delta).
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/status.h"
#include "engine/tensor_view.h"
#include "models/base_weights.h"

namespace oneround::convert {

// W is [out, in] whatever its file's layout, rows in Hugging Face's order; a vector is one row.
struct RowsRequest {
  std::string tensor;
  // rows of the written matrix
  int64_t first = 0, count = 0;
  Type type = Type::f32;
  // the written matrix is [in, out]
  bool transposed = false;
  // rows are written in llama.cpp's order among that many heads; 0: in Hugging Face's
  int64_t interleaved_heads = 0;
  // A [rank, in], B [out, rank]; rank 0: none
  int64_t rank = 0;
  double scale = 0;
  std::span<const float> a, b;
  // [out, in], or [in, out] where delta_transposed; empty: none
  std::span<const float> delta;
  bool delta_transposed = false;
};

struct Rows {
  std::vector<uint8_t> bytes;
  // sums of squares over the written elements: of W, of dW = scale * B A + delta, of what rounding changed
  double base = 0, change = 0, error = 0;
  // finite numbers that the type cannot hold
  int64_t overflows = 0;
};

// dW and W + dW are computed in double, in an order that depends on nothing; the sum is rounded to f32 and from there
// to the type. Polls `abort` a row at a time.
Status merge_rows(const BaseWeights& base, const RowsRequest& request, const std::atomic<bool>& abort, Rows* result);

}  // namespace oneround::convert
