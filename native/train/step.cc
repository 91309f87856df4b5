// Session's jobs: a batch is cut into passes of whole examples; sums over examples do not depend on the cut.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "train/local_terms.h"
#include "train/session.h"

namespace oneround {

template <class Run>
Status Session::for_passes(const Batch& batch, std::span<const Owner> owners, const Run& run) {
  Shared& shared = *shared_;
  int64_t first_row = 0;
  size_t owner = 0;
  for (size_t example = 0; example < batch.lengths.size();) {
    shared.segments.clear();
    shared.clients.clear();
    shared.groups.clear();
    const size_t first_example = example, first_owner = owner;
    int64_t rows = 0;
    while (example < batch.lengths.size() && rows + batch.lengths[example] <= shared.options.rows_per_pass) {
      Segment segment{rows, batch.lengths[example], batch.dropout_counters[example]};
      if (!batch.parents.empty()) segment.parent = batch.parents[example];
      if (segment.parent >= 0) {
        const Segment& parent = shared.segments[static_cast<size_t>(segment.parent)];
        segment.start = parent.start + parent.count;
      }
      if (example == first_example || example == owners[owner].end) {
        if (example > first_example) owner++;
        shared.clients.push_back({owners[owner].session->parameters_.get(),
                                  {shared.segments.data() + shared.segments.size(), 0},
                                  owners[owner].dropout_seed,
                                  owners[owner].d_loss});
        shared.groups.push_back({rows, 0});
      }
      shared.clients.back().segments.count++;
      shared.groups.back().count += segment.count;
      shared.segments.push_back(segment);
      rows += batch.lengths[example++];
    }
    const Pass pass{{shared.segments.data(), static_cast<int64_t>(shared.segments.size())},
                    shared.clients,
                    {shared.groups.data(), static_cast<int64_t>(shared.groups.size())}};
    if (Status s = run(first_row, first_example, first_owner, pass); !s.is_ok()) return s;
    first_row += rows;
    if (example == owners[owner].end) owner++;
  }
  return Status::ok();
}

template <class Run>
Status Session::for_passes(const Batch& batch, const Run& run) {
  const Owner all{this, batch.lengths.size(), nullptr, 0.0f};
  return for_passes(batch, {&all, 1}, [&](int64_t first_row, size_t first_example, size_t, const Pass& pass) {
    return run(first_row, first_example, pass);
  });
}

namespace {

void append(const Batch& from, Batch* to) {
  to->ids.insert(to->ids.end(), from.ids.begin(), from.ids.end());
  to->labels.insert(to->labels.end(), from.labels.begin(), from.labels.end());
  to->lengths.insert(to->lengths.end(), from.lengths.begin(), from.lengths.end());
  to->dropout_counters.insert(to->dropout_counters.end(), from.dropout_counters.begin(), from.dropout_counters.end());
}

}  // namespace

Status Session::gradients(std::span<SessionStep> steps, const std::atomic<bool>& abort) {
  Session& any = *steps[0].session;
  const Backend& backend = any.backend();
  std::vector<Owner> owners;
  Batch joined;
  for (SessionStep& step : steps) {
    const Batch& batch = *step.batch;
    Parameters& parameters = *step.session->parameters_;
    if (!any.shared_->options.training)
      return Status::error(Code::argument, "the session was opened for scoring", "Open it with training.");
    if (!batch.parents.empty())
      return Status::error(Code::argument, "the batch has parents", "Train on whole examples.");
    const auto trained =
        std::count_if(batch.labels.begin(), batch.labels.end(), [](int32_t label) { return label >= 0; });
    if (trained == 0)
      return Status::error(Code::argument, "the batch has no trained token", "Leave out examples without completion.");
    step.result = {0, trained, 0};
    backend.fill_zero(backend.self, parameters.gradient(), parameters.count());
    const size_t before = owners.empty() ? 0 : owners.back().end;
    owners.push_back({step.session, before + batch.lengths.size(), &step.options.seed,
                      static_cast<float>(1.0 / static_cast<double>(trained))});
    if (steps.size() > 1) append(batch, &joined);
  }
  const Batch& all = steps.size() > 1 ? joined : *steps[0].batch;
  Shared& shared = *any.shared_;
  const auto run = [&](int64_t first_row, size_t, size_t first_owner, const Pass& pass) {
    const int32_t* labels = all.labels.data() + first_row;
    if (Status s = shared.decoder->backward(backend, all.ids.data() + first_row, labels, pass, shared.row_losses.data(),
                                            abort);
        !s.is_ok())
      return s;
    for (size_t c = 0; c < pass.clients.size(); c++) {
      const RowGroup& rows = pass.groups.data[c];
      for (int64_t m = rows.first; m < rows.first + rows.count; m++)
        if (labels[m] >= 0) steps[first_owner + c].result.loss += shared.row_losses[static_cast<size_t>(m)];
    }
    return Status::ok();
  };
  if (Status s = any.for_passes(all, owners, run); !s.is_ok()) return s;
  for (SessionStep& step : steps) {
    StepResult& result = step.result;
    const Parameters& parameters = *step.session->parameters_;
    result.loss /= static_cast<double>(result.tokens);
    result.gradient_norm = std::sqrt(backend.squared_norm(backend.self, parameters.gradient(), parameters.count()));
    if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm))
      return Status::error(Code::numeric, "the loss or its gradient is not finite", "Lower the learning rate.");
  }
  return Status::ok();
}

Status Session::gradient(const Batch& batch, uint32_t seed, const std::atomic<bool>& abort, StepResult* out) {
  SessionStep step{this, &batch, {}, {}};
  step.options.seed = seed;
  const Status status = gradients({&step, 1}, abort);
  *out = step.result;
  return status;
}

// Weight decay touches matrices only, never norm weights; a slot that names its own takes that.
void Session::optimize(const StepOptions& o, double gradient_norm) {
  const Backend& backend = this->backend();
  const double clip = o.clip_norm > 0 && gradient_norm > o.clip_norm ? o.clip_norm / gradient_norm : 1.0;
  const int64_t step = ++parameters_->steps;
  for (const Slot& slot : parameters_->slots()) {
    const double common = slot.kind == Slot::Kind::dense && slot.rows == 1 ? 0.0 : o.weight_decay;
    const double decay = slot.weight_decay >= 0 ? slot.weight_decay : common;
    if (o.optimizer == Optimizer::sgd) {
      backend.sgd(backend.self, parameters_->values() + slot.first, parameters_->gradient() + slot.first,
                  parameters_->first_moment() + slot.first, slot.count,
                  {o.learning_rate, o.momentum, decay, o.nesterov, clip});
      continue;
    }
    backend.adamw(backend.self, parameters_->values() + slot.first, parameters_->gradient() + slot.first,
                  parameters_->first_moment() + slot.first, parameters_->second_moment() + slot.first, slot.count,
                  {o.learning_rate, o.beta1, o.beta2, o.epsilon, decay, step, clip});
  }
}

Status Session::add_local_terms(const StepOptions& options, StepResult* out) {
  const bool pulls = !anchor_.empty() && options.proximal > 0;
  if (!pulls && correction_.empty()) return Status::ok();
  if (pulls) add_proximal(*parameters_, anchor_.data(), options.proximal);
  if (!correction_.empty()) add_correction(*parameters_, correction_.data());
  const Backend& backend = shared_->backend->table();
  out->gradient_norm = std::sqrt(backend.squared_norm(backend.self, parameters_->gradient(), parameters_->count()));
  if (std::isfinite(out->gradient_norm)) return Status::ok();
  return Status::error(Code::numeric, "the gradient with the strategy's terms is not finite",
                       "Lower mu or the learning rate.");
}

Status Session::check_together(std::span<const SessionStep> steps) {
  const auto refuse = [](const std::string& found, const std::string& fix) {
    return Status::error(Code::argument, found, fix);
  };
  if (steps.empty()) return refuse("no session is to step", "Give at least one session.");
  const Session& first = *steps[0].session;
  const int64_t most = first.shared_->options.clients;
  if (static_cast<int64_t>(steps.size()) > most)
    return refuse(std::to_string(steps.size()) + " sessions are to step together, opened for " + std::to_string(most),
                  "Open the first with clients = " + std::to_string(steps.size()) + ".");
  for (size_t i = 0; i < steps.size(); i++) {
    for (size_t j = 0; j < i; j++)
      if (steps[j].session == steps[i].session) return refuse("a session is to step twice", "Name each session once.");
    if (!steps[i].session->is_beside(first))
      return refuse("sessions are to step together that share nothing", "Make the others from the first.");
    if (Status s = steps[i].session->check(*steps[i].batch); !s.is_ok()) return s;
  }
  return Status::ok();
}

Status Session::step_together(std::span<SessionStep> steps, const std::atomic<bool>& abort) {
  if (Status s = gradients(steps, abort); !s.is_ok()) return s;
  for (SessionStep& step : steps)
    if (Status s = step.session->add_local_terms(step.options, &step.result); !s.is_ok()) return s;
  for (SessionStep& step : steps) step.session->optimize(step.options, step.result.gradient_norm);
  return Status::ok();
}

Status Session::step(const Batch& batch, const StepOptions& options, const std::atomic<bool>& abort, StepResult* out) {
  SessionStep step{this, &batch, options, {}};
  const Status status = step_together({&step, 1}, abort);
  *out = step.result;
  return status;
}

Status Session::evaluate(const Batch& batch, const std::atomic<bool>& abort, std::vector<double>* losses,
                         std::vector<int32_t>* tokens) {
  losses->assign(batch.lengths.size(), 0.0);
  tokens->assign(batch.lengths.size(), 0);
  std::vector<double>& row_losses = shared_->row_losses;
  return for_passes(batch, [&](int64_t first_row, size_t first_example, const Pass& pass) {
    const int32_t* labels = batch.labels.data() + first_row;
    if (Status s =
            shared_->decoder->losses(backend(), batch.ids.data() + first_row, labels, pass, row_losses.data(), abort);
        !s.is_ok())
      return s;
    for (int64_t i = 0; i < pass.segments.count; i++) {
      const Segment& segment = pass.segments.data[i];
      const size_t example = first_example + static_cast<size_t>(i);
      for (int64_t m = segment.first; m < segment.first + segment.count; m++) {
        if (labels[m] < 0) continue;
        (*losses)[example] += row_losses[static_cast<size_t>(m)];
        (*tokens)[example]++;
      }
    }
    return Status::ok();
  });
}

Status Session::check_inputs(std::span<float* const> sums, std::span<const size_t> sizes) const {
  const std::vector<Slot>& slots = parameters_->slots();
  if (sums.size() != slots.size())
    return Status::error(Code::argument, std::to_string(sums.size()) + " sums of inputs", "Give one for each slot.");
  for (size_t i = 0; i < sums.size(); i++) {
    const auto in = static_cast<size_t>(slots[i].cols);
    if (sums[i] == nullptr || (slots[i].kind != Slot::Kind::dense && sizes[i] == in * in)) continue;
    return Status::error(Code::argument, "the sum of inputs of " + slots[i].name + " has another size",
                         "Give in x in numbers for a layer with factors.");
  }
  return Status::ok();
}

Status Session::inputs(const Batch& batch, std::span<float* const> sums, const std::atomic<bool>& abort) {
  // No row has a label: the blocks are all that is computed.
  const std::vector<int32_t> none(batch.ids.size(), -1);
  return for_passes(batch, [&](int64_t first_row, size_t, Pass pass) {
    pass.inputs = sums;
    return shared_->decoder->losses(backend(), batch.ids.data() + first_row, none.data(), pass,
                                    shared_->row_losses.data(), abort);
  });
}

Status Session::logits(const Batch& batch, const std::atomic<bool>& abort, std::vector<float>* out) {
  const int64_t vocabulary = base().shape().vocabulary;
  out->resize(batch.ids.size() * static_cast<size_t>(vocabulary));
  return for_passes(batch, [&](int64_t first_row, size_t, const Pass& pass) {
    return shared_->decoder->logits(backend(), batch.ids.data() + first_row, pass, out->data() + first_row * vocabulary,
                                    abort);
  });
}

}  // namespace oneround
