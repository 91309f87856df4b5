#include <algorithm>
#include <numeric>

#include "measure/probe.h"
#include "ops/cpu_backend.h"

namespace oneround {

Status squared_norms(const BaseWeights& base, const std::vector<std::string>& tensors, const std::atomic<bool>& abort,
                     std::vector<double>* out) {
  constexpr int64_t kRows = 64;
  const std::unique_ptr<CpuBackend> owner = CpuBackend::create(1, nullptr);
  if (owner == nullptr)
    return Status::error(Code::unsupported, "ONEROUND_ISA names an instruction set that this machine lacks",
                         "Unset ONEROUND_ISA or name one that `oneround devices` lists.");
  const Backend& backend = owner->table();
  std::vector<int32_t> ids(kRows);
  std::vector<float> values;
  out->clear();
  for (const std::string& name : tensors) {
    const Weight* weight = base.find(name);
    if (weight == nullptr)
      return Status::error(Code::not_found, "the base has no tensor " + name, "Name tensors of this base.");
    values.resize(static_cast<size_t>(kRows * weight->cols));
    double sum = 0;
    for (int64_t first = 0; first < weight->rows; first += kRows) {
      if (abort.load(std::memory_order_relaxed))
        return Status::error(Code::aborted, "stopped", "Start again to go on.");
      const int64_t rows = std::min(kRows, weight->rows - first);
      std::iota(ids.begin(), ids.end(), static_cast<int32_t>(first));
      backend.embed(backend.self, ids.data(), *weight, matrix(values.data(), rows, weight->cols));
      for (int64_t i = 0; i < rows * weight->cols; i++) {
        const double value = values[static_cast<size_t>(i)];
        sum += value * value;
      }
    }
    out->push_back(sum);
  }
  return Status::ok();
}

}  // namespace oneround
