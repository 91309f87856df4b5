// One linear layer with whatever is attached to it: y = W x [+ bias] [+ overlay x] [+ scale B A dropout(x)], or with a
// core between the factors scale B R A dropout(x).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/arena.h"
#include "engine/backend.h"
#include "models/base_weights.h"
#include "models/pass.h"

namespace oneround {

// Frozen difference to the base, given as factors or dense. Factors are kept while that is cheaper than the dense
// product.
struct Overlay {
  std::string layer;
  int64_t rank = 0;      // of factors
  std::vector<float> a;  // [rank, in]
  std::vector<float> b;  // [out, rank]; empty where `a` is the dense delta [out, in]
  bool dense() const { return b.empty(); }
};

// Buffers that all layers use in turn. rows x the widest that is needed.
struct LinearScratch {
  float* dropped = nullptr;          // dropout(x), or its gradient
  float* lora_d = nullptr;           // d_u of kMostParts layers
  int64_t widest_rank = 0;           // columns of one of them
  float* core_v = nullptr;           // R u of a core, and its gradient
  float* overlay_u = nullptr;        // A x of an overlay, and its gradient
  LinearFactors* factors = nullptr;  // of kMostParts layers, one a client
};

struct LinearLayer {
  Weight weight;
  Matrix d_weight;              // data null: frozen
  const float* bias = nullptr;  // [out]
  float* d_bias = nullptr;      // null: frozen
  const Slot* slot = nullptr;   // of its factors, which each client has its own of; null: none
  uint32_t place = 0;           // the slot's place in the list: part of the key of its dropout masks
  const Overlay* overlay = nullptr;

  bool has_lora() const { return slot != nullptr; }
  bool has_core() const { return slot != nullptr && slot->kind == Slot::Kind::core; }
  bool trains() const { return has_lora() || d_weight.data != nullptr || d_bias != nullptr; }
  int64_t rank() const { return slot == nullptr ? 0 : slot->rank; }
  float scale() const { return slot->scale; }
};

// One of the layers that read the same rows. u: [rows, rank], what B is applied to, kept for the backward
// pass; null without LoRA.
struct LayerUse {
  const LinearLayer* layer;
  Matrix y;  // backward: d_y
  float* u;
};

// At most kMostParts layers.
void linear_forward(const Backend& backend, std::span<const LayerUse> uses, const Matrix& x,
                    const LinearScratch& scratch, const Pass& pass);

// Adds to the layers' gradients; d_x (data null: not wanted) is overwritten.
void linear_backward(const Backend& backend, std::span<const LayerUse> uses, const Matrix& x, const Matrix& d_x,
                     const LinearScratch& scratch, const Pass& pass);

}  // namespace oneround
