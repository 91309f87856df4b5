// linear_forward for one row, for generation: layers that read the same row run in as few forks as they can.
#pragma once

#include <initializer_list>

#include "models/linear_layer.h"

namespace oneround {

struct RowLayer {
  const LinearLayer* layer;
  float* y;  // [out]
};

// Most layers of one call, and the widest factors that one of them may need at once: an overlay's and LoRA's.
constexpr int64_t kRowLayers = 3;
constexpr int64_t kRowFactors = 2;

// y = everything that each layer adds up to. inner: kRowLayers * (kRowFactors * the widest rank + the widest core).
void linear_row_forward(const Backend& backend, const Parameters& parameters, const float* x,
                        std::initializer_list<RowLayer> layers, float* inner);

}  // namespace oneround
