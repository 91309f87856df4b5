#include "models/parameters.h"

#include <cstring>
#include <numeric>

namespace oneround {

Status Parameters::plan(const BaseWeights& base, std::vector<Slot> slots, std::unique_ptr<Parameters>* out) {
  auto parameters = std::make_unique<Parameters>();
  for (Slot& slot : slots) {
    const bool lora = slot.kind == Slot::Kind::lora;
    const Weight* weight = base.find(lora ? slot.name + ".weight" : slot.name);
    if (weight == nullptr || (lora && weight->rows == 1))
      return Status::error(Code::not_found,
                           "the base has no " + std::string(lora ? "linear layer " : "tensor ") + slot.name,
                           "Name layers of this base.");
    if (parameters->find(slot.kind, slot.name) != nullptr)
      return Status::error(Code::argument, slot.name + " is listed twice", "List each layer once.");
    slot.rows = lora ? weight->out() : weight->rows;
    slot.cols = lora ? weight->in() : weight->cols;
    slot.transposed = !lora && weight->transposed;
    slot.first = parameters->count_;
    slot.count = lora ? slot.rank * (weight->rows + weight->cols) : weight->rows * weight->cols;
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

const Slot* Parameters::find(Slot::Kind kind, const std::string& name) const {
  for (const Slot& slot : slots_)
    if (slot.kind == kind && slot.name == name) return &slot;
  return nullptr;
}

void copy_weight(const Backend& backend, const Weight& weight, float* out) {
  std::vector<int32_t> ids(static_cast<size_t>(weight.rows));
  std::iota(ids.begin(), ids.end(), 0);
  backend.embed(backend.self, ids.data(), weight, matrix(out, weight.rows, weight.cols));
}

}  // namespace oneround
