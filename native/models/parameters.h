// What trains: a list of slots over one flat f32 buffer, in the order of the list.
// lora: A [rank, in] then B [out, rank]. dense: the tensor [rows, cols].
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

struct Slot {
  enum class Kind { lora, dense } kind = Kind::lora;
  std::string name;  // lora: a layer; dense: a tensor
  int64_t rank = 0;
  float scale = 1;
  float dropout = 0;
  double weight_decay = -1;  // negative: the step's, and none for a vector

  // filled in by Parameters
  int64_t rows = 0, cols = 0;  // lora: out and in of the layer; dense: as stored
  bool transposed = false;     // dense: the tensor is stored [in, out]
  int64_t first = 0, count = 0;
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
  const Slot* find(Slot::Kind kind, const std::string& name) const;
  Matrix lora_a(const Slot& slot, float* buffer) const { return matrix(buffer + slot.first, slot.rank, slot.cols); }
  Matrix lora_b(const Slot& slot, float* buffer) const {
    return matrix(buffer + slot.first + slot.rank * slot.cols, slot.rows, slot.rank);
  }
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
