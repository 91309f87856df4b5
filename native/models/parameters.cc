#include "models/parameters.h"

#include <cstring>
#include <numeric>

namespace oneround {

namespace {

int64_t trained_count(const Slot& slot) {
  switch (slot.kind) {
    case Slot::Kind::lora:
      return slot.rank * (slot.rows + slot.cols);
    case Slot::Kind::lora_b:
      return slot.rank * slot.rows;
    case Slot::Kind::core:
      return slot.rank * slot.rank;
    case Slot::Kind::dense:
      return slot.rows * slot.cols;
  }
  return 0;
}

// The factors that a kind freezes, and only those, with the layer's sizes.
bool frozen_fits(const Slot& slot) {
  const bool has_a = slot.kind == Slot::Kind::lora_b || slot.kind == Slot::Kind::core;
  const int64_t a = has_a ? slot.rank * slot.cols : 0, b = slot.kind == Slot::Kind::core ? slot.rows * slot.rank : 0;
  if (slot.frozen == nullptr) return a == 0 && b == 0;
  return static_cast<int64_t>(slot.frozen->a.size()) == a && static_cast<int64_t>(slot.frozen->b.size()) == b;
}

}  // namespace

Status Parameters::plan(const BaseWeights& base, std::vector<Slot> slots, std::unique_ptr<Parameters>* out) {
  auto parameters = std::make_unique<Parameters>();
  for (Slot& slot : slots) {
    const bool dense = slot.kind == Slot::Kind::dense;
    const Weight* weight = base.find(dense ? slot.name : slot.name + ".weight");
    if (weight == nullptr || (!dense && weight->rows == 1))
      return Status::error(Code::not_found,
                           "the base has no " + std::string(dense ? "tensor " : "linear layer ") + slot.name,
                           "Name layers of this base.");
    if ((dense ? parameters->find_dense(slot.name) : parameters->find_factors(slot.name)) != nullptr)
      return Status::error(Code::argument, slot.name + " is listed twice", "List each layer once.");
    slot.rows = dense ? weight->rows : weight->out();
    slot.cols = dense ? weight->cols : weight->in();
    slot.transposed = dense && weight->transposed;
    slot.first = parameters->count_;
    slot.count = trained_count(slot);
    if (!frozen_fits(slot))
      return Status::error(Code::argument, "the frozen factors of " + slot.name + " have another shape than the slot",
                           "Pass A [rank, in], and of a core B [out, rank].");
    parameters->count_ += slot.count;
    parameters->slots_.push_back(slot);
  }
  *out = std::move(parameters);
  return Status::ok();
}

Status Parameters::allocate(bool training) {
  const int64_t bytes = count_ * static_cast<int64_t>(sizeof(float)) + 64;
  if (!memory_.reserve(bytes * (training ? 4 : 1) + 64))
    return Status::error(Code::memory, "no memory for " + std::to_string(count_) + " trainable parameters",
                         "Lower the rank or train fewer layers.");
  values_ = memory_.take<float>(count_);
  std::memset(values_, 0, static_cast<size_t>(count_) * sizeof(float));
  if (!training) return Status::ok();
  for (float** buffer : {&gradient_, &first_, &second_}) {
    *buffer = memory_.take<float>(count_);
    std::memset(*buffer, 0, static_cast<size_t>(count_) * sizeof(float));
  }
  return Status::ok();
}

const Slot* Parameters::find_dense(const std::string& tensor) const {
  for (const Slot& slot : slots_)
    if (slot.kind == Slot::Kind::dense && slot.name == tensor) return &slot;
  return nullptr;
}

const Slot* Parameters::find_factors(const std::string& layer) const {
  for (const Slot& slot : slots_)
    if (slot.kind != Slot::Kind::dense && slot.name == layer) return &slot;
  return nullptr;
}

Factors Parameters::factors(const Slot& slot) const {
  Factors f{lora_a(slot, values_), lora_b(slot, values_), core(slot, values_), {}, {}, {}};
  if (slot.kind != Slot::Kind::lora) f.a = matrix(slot.frozen->a.data(), slot.rank, slot.cols);
  if (slot.kind == Slot::Kind::core) f.b = matrix(slot.frozen->b.data(), slot.rows, slot.rank);
  if (gradient_ == nullptr) return f;
  f.d_a = lora_a(slot, gradient_);
  f.d_b = lora_b(slot, gradient_);
  f.d_core = core(slot, gradient_);
  return f;
}

int64_t Parameters::frozen_bytes() const {
  size_t count = 0;
  for (const Slot& slot : slots_)
    if (slot.frozen != nullptr) count += slot.frozen->a.size() + slot.frozen->b.size();
  return static_cast<int64_t>(count * sizeof(float));
}

void copy_weight(const Backend& backend, const Weight& weight, float* out) {
  std::vector<int32_t> ids(static_cast<size_t>(weight.rows));
  std::iota(ids.begin(), ids.end(), 0);
  backend.embed(backend.self, ids.data(), weight, matrix(out, weight.rows, weight.cols));
}

}  // namespace oneround
