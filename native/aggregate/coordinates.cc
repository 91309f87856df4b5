#include "aggregate/coordinates.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "aggregate/columns.h"
#include "aggregate/products.h"
#include "engine/random.h"

namespace oneround::aggregate {
namespace {

// The dense rows of one client, in f32, kernels().product_rows at a time.
class ClientRows {
 public:
  ClientRows(size_t in, size_t out, const CoordinatePart& part)
      : in_(in), out_(out), part_(&part), packed_(in, part.factors.rank, part.factors.a.data()) {}

  // into [count, in]
  void read(size_t first, size_t count, float* into) const {
    each_product_row(in_, part_->factors, packed_, first, count,
                     [&](size_t i, size_t column, size_t n, const double* sums) {
                       float* row = into + i * in_ + column;
                       for (size_t j = 0; j < n; ++j) row[j] = static_cast<float>(part_->factors.weight * sums[j]);
                     });
  }

  // The magnitude that ceil(density * in * out) elements reach; 0 keeps all.
  float threshold(double density, std::vector<float>* scratch) const {
    const size_t total = in_ * out_;
    const size_t kept =
        std::clamp<size_t>(static_cast<size_t>(std::ceil(density * static_cast<double>(total))), 1, total);
    if (kept == total) return 0;
    scratch->resize(total);
    const size_t step = static_cast<size_t>(kernels().product_rows);
    for (size_t first = 0; first < out_; first += step)
      read(first, std::min(step, out_ - first), scratch->data() + first * in_);
    for (float& value : *scratch) value = std::fabs(value);
    const auto place = scratch->begin() + static_cast<std::ptrdiff_t>(total - kept);
    std::nth_element(scratch->begin(), place, scratch->end());
    return *place;
  }

 private:
  size_t in_, out_;
  const CoordinatePart* part_;
  PackedRows packed_;
};

float median(std::vector<float>* x) {
  const size_t half = x->size() / 2;
  std::nth_element(x->begin(), x->begin() + static_cast<std::ptrdiff_t>(half), x->end());
  const float upper = (*x)[half];
  if (x->size() % 2 == 1) return upper;
  const float lower = *std::max_element(x->begin(), x->begin() + static_cast<std::ptrdiff_t>(half));
  return static_cast<float>((static_cast<double>(lower) + static_cast<double>(upper)) / 2);
}

float trimmed_mean(std::vector<float>* x, size_t trimmed) {
  std::sort(x->begin(), x->end());
  double sum = 0;
  for (size_t i = trimmed; i + trimmed < x->size(); ++i) sum += static_cast<double>((*x)[i]);
  return static_cast<float>(sum / static_cast<double>(x->size() - 2 * trimmed));
}

float ties(const std::vector<float>& x, std::span<const CoordinatePart> parts, const std::vector<float>& thresholds) {
  double elected = 0;
  for (size_t c = 0; c < x.size(); ++c) {
    if (std::fabs(x[c]) >= thresholds[c]) elected += parts[c].share * static_cast<double>(x[c]);
  }
  double sum = 0, share = 0;
  for (size_t c = 0; c < x.size(); ++c) {
    const double value = static_cast<double>(x[c]);
    if (value == 0 || std::fabs(x[c]) < thresholds[c] || (value > 0) != (elected > 0)) continue;
    sum += parts[c].share * value;
    share += parts[c].share;
  }
  return share == 0 || elected == 0 ? 0.0f : static_cast<float>(sum / share);
}

// Four draws at a time: which elements of a row stay, for one client.
void drop_elements(const CoordinateOptions& o, const CoordinatePart& part, uint64_t row, size_t in, float* x) {
  const float drop = static_cast<float>(o.drop), rescale = static_cast<float>(1 / (1 - o.drop));
  for (size_t j = 0; j < in; j += 4) {
    const PhiloxBlock draws =
        philox({static_cast<uint32_t>(j / 4), static_cast<uint32_t>(row), 0, 0}, o.seed, part.stream);
    for (size_t k = 0; k < 4 && j + k < in; ++k) x[j + k] = uniform_of(draws[k]) < drop ? 0.0f : x[j + k] * rescale;
  }
}

}  // namespace

Status coordinate_wise(size_t in, size_t out, std::span<const CoordinatePart> parts, const CoordinateOptions& options,
                       std::vector<float>* values, const std::atomic<bool>& abort) {
  std::vector<Factors> factors;
  for (const CoordinatePart& part : parts) factors.push_back(part.factors);
  const Status status = check_factors(in, out, factors);
  if (!status.is_ok()) return status;
  const size_t m = parts.size();
  if (m == 0 || 2 * options.trimmed >= m) {
    return Status::error(Code::argument, "nothing is left of " + std::to_string(m) + " updates", "Trim fewer of them.");
  }
  std::vector<ClientRows> clients;
  clients.reserve(m);
  for (const CoordinatePart& part : parts) clients.emplace_back(in, out, part);
  std::vector<float> thresholds(m, 0.0f);
  if (options.rule == CoordinateRule::ties) {
    std::vector<float> scratch;
    for (size_t c = 0; c < m; ++c) {
      if (abort.load(std::memory_order_relaxed)) break;
      thresholds[c] = clients[c].threshold(options.density, &scratch);
    }
  }
  values->assign(in * out, 0.0f);
  const size_t step = static_cast<size_t>(kernels().product_rows);
  std::vector<float> block(m * step * in), x(m);
  for (size_t first = 0; first < out; first += step) {
    if (abort.load(std::memory_order_relaxed))
      return Status::error(Code::aborted, "the aggregation was stopped", "Start it again.");
    const size_t count = std::min(step, out - first);
    for (size_t c = 0; c < m; ++c) {
      float* rows = block.data() + c * step * in;
      clients[c].read(first, count, rows);
      if (options.rule != CoordinateRule::dare) continue;
      for (size_t i = 0; i < count; ++i) drop_elements(options, parts[c], first + i, in, rows + i * in);
    }
    for (size_t e = 0; e < count * in; ++e) {
      for (size_t c = 0; c < m; ++c) x[c] = block[c * step * in + e];
      float* target = values->data() + first * in + e;
      switch (options.rule) {
        case CoordinateRule::median:
          *target = median(&x);
          break;
        case CoordinateRule::trimmed_mean:
          *target = trimmed_mean(&x, options.trimmed);
          break;
        case CoordinateRule::ties:
          *target = ties(x, parts, thresholds);
          break;
        case CoordinateRule::dare: {
          double sum = 0;
          for (size_t c = 0; c < m; ++c) sum += parts[c].share * static_cast<double>(x[c]);
          *target = static_cast<float>(sum);
          break;
        }
      }
    }
  }
  return Status::ok();
}

}  // namespace oneround::aggregate
