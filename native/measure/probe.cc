#include "measure/probe.h"

#include <algorithm>
#include <cmath>

#include "engine/distribution.h"

namespace oneround {

namespace {

// Part of the arithmetic: sums are taken within a block and blocks are added in order, whatever the threads.
constexpr int64_t kBlock = 1 << 16;
constexpr size_t kMostBlocks = size_t{1} << 16;

SessionOptions session_options(ProbeOptions options) {
  SessionOptions session;
  for (std::string& tensor : options.tensors) {
    Slot slot;
    slot.kind = Slot::Kind::dense;
    slot.name = std::move(tensor);
    session.slots.push_back(std::move(slot));
  }
  session.threads = options.threads;
  session.rows_per_pass = options.rows_per_pass;
  session.longest_example = options.longest_example;
  return session;
}

Status refuse(const std::string& found, const std::string& fix) { return Status::error(Code::argument, found, fix); }

}  // namespace

Status Probe::budget_of(std::shared_ptr<const BaseWeights> base, ProbeOptions options, MemoryBudget* out) {
  return Session::budget_of(std::move(base), session_options(std::move(options)), out);
}

// A training session's four buffers are just what is needed: the moments hold the kept point and gradient.
Status Probe::create(std::shared_ptr<const BaseWeights> base, ProbeOptions options, std::unique_ptr<Probe>* out) {
  auto probe = std::make_unique<Probe>();
  const int threads = options.threads;
  probe->rows_per_pass_ = options.rows_per_pass;
  if (options.tensors.empty()) return refuse("no tensor to look at", "Name at least one.");
  if (Status s = Session::create(std::move(base), session_options(std::move(options)), &probe->session_); !s.is_ok())
    return s;
  const std::vector<Slot>& slots = probe->session_->parameters().slots();
  for (size_t i = 0; i < slots.size(); i++)
    for (int64_t first = 0; first < slots[i].count; first += kBlock)
      probe->blocks_.push_back({slots[i].first + first, std::min(kBlock, slots[i].count - first), i});
  if (probe->blocks_.size() > kMostBlocks) return refuse("too many numbers to look at", "Name fewer tensors.");
  probe->pool_ = std::make_unique<ThreadPool>(threads);
  *out = std::move(probe);
  return Status::ok();
}

template <class Body>
void Probe::for_blocks(const Body& body) {
  pool_->for_each(static_cast<int64_t>(blocks_.size()), [&](int64_t i, int) {
    const Block& block = blocks_[static_cast<size_t>(i)];
    body(block.first, block.count, static_cast<size_t>(i));
  });
}

Status Probe::check(const std::vector<PointTerm>& terms) const {
  for (const PointTerm& term : terms) {
    const Slot* slot = session_->parameters().find(Slot::Kind::dense, term.tensor);
    if (slot == nullptr) return refuse(term.tensor + " is not looked at", "Name it when the probe is made.");
    const int64_t in = slot->transposed ? slot->rows : slot->cols, out = slot->count / in;
    const bool fits = term.rank == 0 ? static_cast<int64_t>(term.a.size()) == slot->count && term.b.empty()
                                     : static_cast<int64_t>(term.a.size()) == term.rank * in &&
                                           static_cast<int64_t>(term.b.size()) == out * term.rank && slot->rows > 1;
    if (!fits) return refuse("a term of " + term.tensor + " has another shape", "Pass A [rank, in] and B [out, rank].");
    for (const std::vector<float>* values : {&term.a, &term.b})
      for (float value : *values)
        if (!std::isfinite(value))
          return Status::error(Code::numeric, "a term of " + term.tensor + " is not finite",
                               "Look at the training that made it.");
  }
  return Status::ok();
}

Status Probe::place(const std::vector<PointTerm>& terms, const std::atomic<bool>& abort) {
  const Parameters& parameters = session_->parameters();
  const Backend& backend = session_->backend();
  session_->load_base();
  for (const PointTerm& term : terms) {
    if (abort.load(std::memory_order_relaxed)) return Status::error(Code::aborted, "stopped", "Start again to go on.");
    const Slot& slot = *parameters.find(Slot::Kind::dense, term.tensor);
    const Matrix values = parameters.dense(slot, parameters.values());
    const float weight = static_cast<float>(term.weight);
    const int64_t in = slot.transposed ? slot.rows : slot.cols, out = slot.count / in;
    if (term.rank == 0) {
      for (int64_t i = 0; i < slot.count; i++) values.data[i] += weight * term.a[static_cast<size_t>(i)];
      continue;
    }
    // As products: W [out, in] += B A, or W' [in, out] += A' B'.
    std::vector<float> turned;
    const float* left = term.b.data();
    Weight right{term.a.data(), Type::f32, term.rank, in, 0, true};
    if (slot.transposed) {
      turned.resize(term.a.size());
      for (int64_t r = 0; r < term.rank; r++)
        for (int64_t i = 0; i < in; i++)
          turned[static_cast<size_t>(i * term.rank + r)] = term.a[static_cast<size_t>(r * in + i)];
      left = turned.data();
      right = {term.b.data(), Type::f32, out, term.rank, 0, false};
    }
    // Matrix is not const, but a product only reads its left side.
    const Matrix rows = matrix(const_cast<float*>(left), slot.rows, term.rank);
    for (int64_t first = 0; first < slot.rows; first += rows_per_pass_) {
      const int64_t count = std::min(rows_per_pass_, slot.rows - first);
      backend.linear(backend.self, rows.slice_rows(first, count), right, values.slice_rows(first, count), weight, true);
    }
  }
  return Status::ok();
}

Status Probe::gradient(const Batch& batch, const std::atomic<bool>& abort, StepResult* out) {
  return session_->gradient(batch, 0, abort, out);
}

void Probe::keep(double weight, bool add) {
  const Parameters& p = session_->parameters();
  const float factor = static_cast<float>(weight);
  for_blocks([&](int64_t first, int64_t count, size_t) {
    for (int64_t i = first; i < first + count; i++) {
      p.first_moment()[i] = p.values()[i];
      p.second_moment()[i] = (add ? p.second_moment()[i] : 0.0f) + factor * p.gradient()[i];
    }
  });
}

void Probe::step_random(uint32_t seed, uint32_t draw, double length) {
  const Parameters& p = session_->parameters();
  std::vector<double> sums(blocks_.size());
  // The gradient's buffer is free until the next backward pass.
  for_blocks([&](int64_t first, int64_t count, size_t block) {
    float* random = p.gradient() + first;
    fill_random(seed, (draw << 16) | static_cast<uint32_t>(block), true, random, static_cast<size_t>(count));
    for (int64_t i = 0; i < count; i++) sums[block] += static_cast<double>(random[i]) * random[i];
  });
  double total = 0;
  for (double sum : sums) total += sum;
  const double factor = length / std::sqrt(total);
  for_blocks([&](int64_t first, int64_t count, size_t) {
    for (int64_t i = first; i < first + count; i++)
      p.values()[i] = static_cast<float>(p.first_moment()[i] + factor * p.gradient()[i]);
  });
}

Status Probe::step_along_change(double length) {
  const Parameters& p = session_->parameters();
  double total = 0;
  for (const TensorComparison& tensor : compare()) total += tensor.change;
  if (!(total > 0)) return Status::error(Code::numeric, "the gradients do not differ", "Take a longer first step.");
  const double factor = length / std::sqrt(total);
  for_blocks([&](int64_t first, int64_t count, size_t) {
    for (int64_t i = first; i < first + count; i++)
      p.values()[i] = static_cast<float>(p.first_moment()[i] +
                                         factor * (static_cast<double>(p.gradient()[i]) - p.second_moment()[i]));
  });
  return Status::ok();
}

std::vector<TensorComparison> Probe::compare() {
  const Parameters& p = session_->parameters();
  std::vector<TensorComparison> parts(blocks_.size());
  for_blocks([&](int64_t first, int64_t count, size_t block) {
    TensorComparison sums;
    for (int64_t i = first; i < first + count; i++) {
      const double x = p.values()[i], d_x = x - p.first_moment()[i];
      const double g = p.gradient()[i], g0 = p.second_moment()[i], d_g = g - g0;
      sums.point += x * x;
      sums.step += d_x * d_x;
      sums.gradient += g * g;
      sums.kept_gradient += g0 * g0;
      sums.product += g * g0;
      sums.change += d_g * d_g;
      sums.slope += g * d_x;
      sums.bend += d_g * d_x;
    }
    parts[block] = sums;
  });
  std::vector<TensorComparison> tensors(p.slots().size());
  constexpr double TensorComparison::*kFields[] = {&TensorComparison::point,    &TensorComparison::step,
                                                   &TensorComparison::gradient, &TensorComparison::kept_gradient,
                                                   &TensorComparison::product,  &TensorComparison::change,
                                                   &TensorComparison::slope,    &TensorComparison::bend};
  for (size_t i = 0; i < blocks_.size(); i++)
    for (const auto field : kFields) tensors[blocks_[i].slot].*field += parts[i].*field;
  return tensors;
}

}  // namespace oneround
