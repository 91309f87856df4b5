// What trains: a list of slots over one flat f32 buffer, in the order of the list.
// lora: A [rank, in] then B [out, rank]. lora_b: B [out, rank]. core: R [rank, rank]. dense: the tensor [rows, cols].
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/arena.h"
#include "engine/backend.h"
#include "engine/status.h"
#include "models/base_weights.h"

namespace oneround {

// Factors that are part of a slot and do not train.
struct FrozenFactors {
  std::vector<float> a;  // [rank, in]: of lora_b and core
  std::vector<float> b;  // [out, rank]: of core
};

struct Slot {
  enum class Kind { lora, lora_b, core, dense } kind = Kind::lora;
  std::string name;  // dense: a tensor; the others: a layer
  int64_t rank = 0;
  float scale = 1;
  float dropout = 0;
  double weight_decay = -1;               // negative: the step's, and none for a vector
  std::shared_ptr<FrozenFactors> frozen;  // never written; shared by the copies of a slot

  // filled in by Parameters
  int64_t rows = 0, cols = 0;  // dense: as stored; the others: out and in of the layer
  bool transposed = false;     // dense: the tensor is stored [in, out]
  int64_t first = 0, count = 0;
};

// One slot's factors and where their gradients go. No rows: there is none, or of a gradient: it does not train.
struct Factors {
  Matrix a, b, core, d_a, d_b, d_core;
};

class Parameters {
 public:
  // Finds each slot's weight and lays the slots out. Nothing is allocated yet.
  static Status plan(const BaseWeights& base, std::vector<Slot> slots, std::unique_ptr<Parameters>* out);
  // Adam's moments and the gradient are taken only where `training`.
  Status allocate(bool training);

  int64_t count() const { return count_; }
  const std::vector<Slot>& slots() const { return slots_; }
  float* values() const { return values_; }
  float* gradient() const { return gradient_; }
  float* first_moment() const { return first_; }
  float* second_moment() const { return second_; }
  int64_t steps = 0;

  // Null: the slot is not in the list.
  const Slot* find_dense(const std::string& tensor) const;
  const Slot* find_factors(const std::string& layer) const;
  // Bytes of the factors that do not train.
  int64_t frozen_bytes() const;
  // Null where the slot does not train that factor.
  Matrix lora_a(const Slot& slot, float* buffer) const {
    return slot.kind == Slot::Kind::lora ? matrix(buffer + slot.first, slot.rank, slot.cols) : Matrix{};
  }
  Matrix lora_b(const Slot& slot, float* buffer) const {
    if (slot.kind == Slot::Kind::core) return {};
    const int64_t behind_a = slot.kind == Slot::Kind::lora ? slot.rank * slot.cols : 0;
    return matrix(buffer + slot.first + behind_a, slot.rows, slot.rank);
  }
  Matrix core(const Slot& slot, float* buffer) const {
    return slot.kind == Slot::Kind::core ? matrix(buffer + slot.first, slot.rank, slot.rank) : Matrix{};
  }
  // Of any kind but dense; the slot may be that of another Parameters with the same list.
  Factors factors(const Slot& slot) const;
  Matrix dense(const Slot& slot, float* buffer) const { return matrix(buffer + slot.first, slot.rows, slot.cols); }
  // A dense slot's values as a weight.
  Weight dense_weight(const Slot& slot) const {
    Weight weight = weight_of(dense(slot, values_));
    weight.transposed = slot.transposed;
    weight.exact = true;
    return weight;
  }

 private:
  std::vector<Slot> slots_;
  int64_t count_ = 0;
  Arena memory_;
  float* values_ = nullptr;
  float* gradient_ = nullptr;
  float* first_ = nullptr;
  float* second_ = nullptr;
};

// Copies a stored tensor into f32, rows in Hugging Face's order.
void copy_weight(const Backend& backend, const Weight& weight, float* out);

}  // namespace oneround
