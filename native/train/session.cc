#include "train/session.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace oneround {

namespace {

Status refuse(const std::string& found, const std::string& fix) { return Status::error(Code::argument, found, fix); }

// Factors cost rank * (in + out) a row, a dense delta in * out: above the break-even rank the dense one is used.
Status prepare_overlay(const BaseWeights& base, Overlay* overlay) {
  const Weight* weight = base.find(overlay->layer + ".weight");
  if (weight == nullptr || weight->rows == 1)
    return Status::error(Code::not_found, "the base has no linear layer " + overlay->layer,
                         "Name layers of this base.");
  const int64_t in = weight->in(), out = weight->out(), rank = overlay->rank;
  if (overlay->dense()) {
    if (static_cast<int64_t>(overlay->a.size()) == in * out) return Status::ok();
    return refuse("the dense overlay of " + overlay->layer + " has another size than the layer", "Pass [out, in].");
  }
  if (static_cast<int64_t>(overlay->a.size()) != rank * in || static_cast<int64_t>(overlay->b.size()) != out * rank)
    return refuse("the overlay of " + overlay->layer + " has factors of another shape",
                  "Pass A [rank, in] and B [out, rank].");
  if (rank * (in + out) <= in * out) return Status::ok();
  std::vector<float> dense(static_cast<size_t>(in * out), 0.0f);
  for (int64_t o = 0; o < out; o++)
    for (int64_t r = 0; r < rank; r++) {
      const float factor = overlay->b[static_cast<size_t>(o * rank + r)];
      const float* row = overlay->a.data() + r * in;
      float* to = dense.data() + o * in;
      for (int64_t i = 0; i < in; i++) to[i] += factor * row[i];
    }
  overlay->a = std::move(dense);
  overlay->b.clear();
  return Status::ok();
}

constexpr int64_t kFloat = sizeof(float);

}  // namespace

// Everything but the memory: slots found, overlays prepared, buffers counted.
Status Session::plan(std::shared_ptr<const BaseWeights> base, SessionOptions options, std::unique_ptr<Session>* out) {
  if (options.threads < 1 || options.threads > 256) return refuse("threads is out of range", "Use 1 to 256 threads.");
  if (options.rows_per_pass < 1 || options.rows_per_pass > (1 << 20) || options.longest_example < 1 ||
      options.longest_example > options.rows_per_pass)
    return refuse("rowsPerPass or longestExample is out of range", "Let rowsPerPass be at least longestExample.");
  if (options.cache < 0 || options.cache > options.longest_example || (options.cache > 0 && options.training))
    return refuse("cache is out of range", "Use a scoring session and a cache of at most longestExample tokens.");
  if (options.sequences < 1 || options.sequences > std::min(kHeadRows, options.rows_per_pass))
    return refuse("sequences is out of range", "Generate at most " + std::to_string(kHeadRows) +
                                                   " texts side by side, and no more than rowsPerPass.");
  if (options.clients < 1 || options.clients > options.rows_per_pass)
    return refuse("clients is out of range", "Let as many sessions step together as a pass has rows, at most.");
  auto session = std::make_unique<Session>();
  session->shared_ = std::make_shared<Shared>();
  Shared& shared = *session->shared_;
  std::unique_ptr<Parameters> parameters;
  if (Status s = Parameters::plan(*base, options.slots, &parameters); !s.is_ok()) return s;
  session->parameters_ = shared.first = std::move(parameters);
  for (Overlay& overlay : options.overlays)
    if (Status s = prepare_overlay(*base, &overlay); !s.is_ok()) return s;
  if (options.compute == Compute::bf16 && !CpuBackend::has_bf16(nullptr))
    return Status::error(Code::unsupported, "compute is bf16, and the instruction set in use has no bf16 products",
                         "Leave compute at auto, or set it to f32.");
  shared.backend = CpuBackend::create(options.threads, nullptr, options.compute);
  if (shared.backend == nullptr)
    return Status::error(Code::unsupported, "ONEROUND_ISA names an instruction set that this machine lacks",
                         "Unset ONEROUND_ISA or name one that `oneround devices` lists.");
  const int64_t positions = base->shape().learned_positions;
  if (positions > 0 && options.longest_example > positions)
    return refuse("longestExample is " + std::to_string(options.longest_example) + ", the base has " +
                      std::to_string(positions) + " positions",
                  "Lower the cutoff.");
  if (options.profile) shared.profiled = std::make_unique<ProfiledBackend>(shared.backend->table());
  shared.base = std::move(base);
  shared.options = std::move(options);
  if (Status s = shared.bind(); !s.is_ok()) return s;
  const SessionOptions& o = shared.options;
  const DecoderShape& shape = shared.base->shape();
  const Backend& backend = shared.backend->table();
  MemoryBudget& budget = shared.budget;
  const int64_t trained = session->parameters_->count() * kFloat * o.clients;
  budget.parameters = trained + session->parameters_->frozen_bytes();
  for (const Overlay& overlay : o.overlays)
    budget.parameters += static_cast<int64_t>(overlay.a.size() + overlay.b.size()) * kFloat;
  if (o.training) {
    budget.gradients = trained + (o.anchored + o.corrected) * trained;
    budget.optimizer = 2 * trained;
  }
  if (o.cache > 0) budget.cache = KvCache::bytes(shape.layers, o.sequences, o.cache, shape.kv_width(), shape.heads);
  budget.activations = shared.decoder->activation_bytes();
  budget.scratch = backend.scratch_bytes(backend.self, o.rows_per_pass, shared.decoder->widest(), o.longest_example,
                                         {shape.heads, shape.kv_heads, shape.head_dim, shape.window});
  *out = std::move(session);
  return Status::ok();
}

Status Session::Shared::bind() {
  return Decoder::create(base, *first, options.overlays,
                         {options.rows_per_pass, options.longest_example, options.training, options.recompute,
                          options.clients, options.compute == Compute::bf16},
                         &decoder);
}

Status Session::budget_of(std::shared_ptr<const BaseWeights> base, SessionOptions options, MemoryBudget* out) {
  std::unique_ptr<Session> session;
  if (Status s = plan(std::move(base), std::move(options), &session); !s.is_ok()) return s;
  *out = session->budget();
  return Status::ok();
}

Status Session::create(std::shared_ptr<const BaseWeights> base, SessionOptions options, std::unique_ptr<Session>* out) {
  std::unique_ptr<Session> session;
  if (Status s = plan(std::move(base), std::move(options), &session); !s.is_ok()) return s;
  Shared& shared = *session->shared_;
  const SessionOptions& o = shared.options;
  const DecoderShape& shape = shared.base->shape();
  if (Status s = session->allocate(); !s.is_ok()) return s;
  // Bound again, now that the buffers have addresses.
  if (Status s = shared.bind(); !s.is_ok()) return s;
  if (!shared.backend->reserve(o.rows_per_pass, shared.decoder->widest(), o.longest_example,
                               {shape.heads, shape.kv_heads, shape.head_dim, shape.window}))
    return Status::error(Code::memory, "no memory for scratch", "Lower the cutoff or the number of threads.");
  if (Status s = shared.decoder->allocate(shared.backend->table()); !s.is_ok()) return s;
  if (o.cache > 0 && !shared.cache.reserve(shape.layers, o.sequences, o.cache, shape.kv_width(), shape.heads))
    return Status::error(Code::memory, "no memory for the cache of keys and values", "Generate fewer tokens.");
  shared.segments.reserve(static_cast<size_t>(o.rows_per_pass));
  shared.clients.reserve(static_cast<size_t>(o.clients));
  shared.groups.reserve(static_cast<size_t>(o.clients));
  shared.row_losses.resize(static_cast<size_t>(o.rows_per_pass));
  *out = std::move(session);
  return Status::ok();
}

Status Session::allocate() {
  const SessionOptions& o = shared_->options;
  if (Status s = parameters_->allocate(o.training); !s.is_ok()) return s;
  const auto count = static_cast<size_t>(parameters_->count());
  if (o.anchored) anchor_.resize(count);
  if (o.corrected) correction_.resize(count);
  return Status::ok();
}

Status Session::beside(std::unique_ptr<Session>* out) const {
  for (const Slot& slot : parameters_->slots())
    if (slot.kind == Slot::Kind::dense)
      return refuse("the session trains the whole tensor " + slot.name, "Open one session after another.");
  auto session = std::make_unique<Session>();
  session->shared_ = shared_;
  std::unique_ptr<Parameters> parameters;
  if (Status s = Parameters::plan(*shared_->base, shared_->options.slots, &parameters); !s.is_ok()) return s;
  session->parameters_ = std::move(parameters);
  if (Status s = session->allocate(); !s.is_ok()) return s;
  *out = std::move(session);
  return Status::ok();
}

void Session::load_base() {
  for (const Slot& slot : parameters_->slots())
    if (slot.kind == Slot::Kind::dense)
      copy_weight(shared_->backend->table(), *shared_->base->find(slot.name), parameters_->values() + slot.first);
}

Status Session::check(const Batch& batch) const {
  if (batch.labels.size() != batch.ids.size() || batch.dropout_counters.size() != batch.lengths.size())
    return refuse("labels or dropoutCounters have another length than ids or lengths", "Make them match.");
  int64_t rows = 0;
  for (int32_t length : batch.lengths) {
    if (length < 1 || length > shared_->options.longest_example)
      return refuse("an example has " + std::to_string(length) + " tokens",
                    "Cut examples to longestExample = " + std::to_string(shared_->options.longest_example) + ".");
    rows += length;
  }
  if (rows == 0 || rows != static_cast<int64_t>(batch.ids.size()))
    return refuse("the lengths do not sum to the number of ids", "Make them match.");
  if (Status s = check_parents(batch); !s.is_ok()) return s;
  const int64_t vocabulary = shared_->base->shape().vocabulary;
  for (int32_t id : batch.ids)
    if (id < 0 || id >= vocabulary)
      return refuse("token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(vocabulary),
                    "Use the tokenizer that belongs to this base.");
  for (int32_t label : batch.labels)
    if (label >= vocabulary)
      return refuse("label " + std::to_string(label) + " is outside the vocabulary of " + std::to_string(vocabulary),
                    "Use the tokenizer that belongs to this base.");
  return Status::ok();
}

// A tree in the order of a walk: each parent is the example before, or one above that.
Status Session::check_parents(const Batch& batch) const {
  if (batch.parents.empty()) return Status::ok();
  const std::string fix = "Lay examples out as a tree, parents first, in one pass.";
  if (batch.parents.size() != batch.lengths.size()) return refuse("parents have another length than lengths", fix);
  if (static_cast<int64_t>(batch.ids.size()) > shared_->options.rows_per_pass)
    return refuse("a batch with parents has " + std::to_string(batch.ids.size()) + " rows", fix);
  std::vector<int32_t> above;  // the way from a root to the example before
  std::vector<int64_t> ends;   // positions after each of them
  for (size_t i = 0; i < batch.lengths.size(); i++) {
    const int32_t parent = batch.parents[i];
    while (!above.empty() && above.back() != parent) {
      above.pop_back();
      ends.pop_back();
    }
    if (parent < -1 || (parent >= 0 && above.empty()))
      return refuse("example " + std::to_string(i) + " has the parent " + std::to_string(parent), fix);
    if (static_cast<int64_t>(above.size()) > kMostAbove)
      return refuse("an example has " + std::to_string(above.size()) + " examples above it", fix);
    const int64_t end = (ends.empty() ? 0 : ends.back()) + batch.lengths[i];
    if (end > shared_->options.longest_example)
      return refuse("an example ends at position " + std::to_string(end),
                    "Cut examples to longestExample = " + std::to_string(shared_->options.longest_example) + ".");
    above.push_back(static_cast<int32_t>(i));
    ends.push_back(end);
  }
  return Status::ok();
}

std::vector<OperationProfile> Session::take_profile() {
  return shared_->profiled == nullptr ? std::vector<OperationProfile>() : shared_->profiled->take();
}

}  // namespace oneround
