// The rows of one pass: examples one behind another, those of one client together.
#pragma once

#include <cstdint>
#include <span>

#include "engine/tensor_view.h"
#include "models/parameters.h"

namespace oneround {

// One client's part of a pass. Its rows go through its own factors; everything that is frozen is computed for the rows
// of all clients at once, and no client's bits depend on the others.
struct PassClient {
  const Parameters* parameters;
  Segments segments;             // its own, with rows counted from the start of the pass
  const uint32_t* dropout_seed;  // null: no dropout
  float d_loss;                  // the gradient is that of d_loss * the sum of its losses; 0: none
};

struct Pass {
  Segments segments;  // of all clients, in their order
  std::span<const PassClient> clients;
  RowGroups groups;  // their rows
  // Where wanted, one a slot: x' x [in, in] of the rows that its layer reads is added there. Null: not of this layer.
  std::span<float* const> inputs = {};

  int64_t rows() const {
    const Segment& last = segments.data[segments.count - 1];
    return last.first + last.count;
  }
};

}  // namespace oneround
