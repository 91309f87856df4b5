// Session's jobs: a batch is cut into passes of whole examples; sums over examples do not depend on the cut.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "train/local_terms.h"
#include "train/session.h"

namespace oneround {

template <class Pass>
Status Session::for_passes(const Batch& batch, const Pass& pass) {
  int64_t first_row = 0;
  for (size_t example = 0; example < batch.lengths.size();) {
    segments_.clear();
    const size_t first_example = example;
    int64_t rows = 0;
    while (example < batch.lengths.size() && rows + batch.lengths[example] <= options_.rows_per_pass) {
      Segment segment{rows, batch.lengths[example], batch.dropout_counters[example]};
      if (!batch.parents.empty()) segment.parent = batch.parents[example];
      if (segment.parent >= 0) {
        const Segment& parent = segments_[static_cast<size_t>(segment.parent)];
        segment.start = parent.start + parent.count;
      }
      segments_.push_back(segment);
      rows += batch.lengths[example++];
    }
    if (Status s = pass(first_row, first_example, Segments{segments_.data(), static_cast<int64_t>(segments_.size())});
        !s.is_ok())
      return s;
    first_row += rows;
  }
  return Status::ok();
}

Status Session::gradient(const Batch& batch, uint32_t seed, const std::atomic<bool>& abort, StepResult* out) {
  if (!options_.training)
    return Status::error(Code::argument, "the session was opened for scoring", "Open it with training.");
  if (!batch.parents.empty()) return Status::error(Code::argument, "the batch has parents", "Train on whole examples.");
  const Backend& backend = this->backend();
  out->tokens = std::count_if(batch.labels.begin(), batch.labels.end(), [](int32_t label) { return label >= 0; });
  if (out->tokens == 0)
    return Status::error(Code::argument, "the batch has no trained token", "Leave out examples without completion.");
  const float d_loss = static_cast<float>(1.0 / static_cast<double>(out->tokens));
  backend.fill_zero(backend.self, parameters_->gradient(), parameters_->count());
  double sum = 0;
  const Status status = for_passes(batch, [&](int64_t first_row, size_t, Segments segments) {
    const int32_t* labels = batch.labels.data() + first_row;
    if (Status s = decoder_->backward(backend, batch.ids.data() + first_row, labels, segments, d_loss, &seed,
                                      row_losses_.data(), abort);
        !s.is_ok())
      return s;
    const Segment& last = segments.data[segments.count - 1];
    for (int64_t m = 0; m < last.first + last.count; m++)
      if (labels[m] >= 0) sum += row_losses_[static_cast<size_t>(m)];
    return Status::ok();
  });
  if (!status.is_ok()) return status;
  out->loss = sum / static_cast<double>(out->tokens);
  out->gradient_norm = std::sqrt(backend.squared_norm(backend.self, parameters_->gradient(), parameters_->count()));
  if (!std::isfinite(out->loss) || !std::isfinite(out->gradient_norm))
    return Status::error(Code::numeric, "the loss or its gradient is not finite", "Lower the learning rate.");
  return Status::ok();
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
  const Backend& backend = backend_->table();
  out->gradient_norm = std::sqrt(backend.squared_norm(backend.self, parameters_->gradient(), parameters_->count()));
  if (std::isfinite(out->gradient_norm)) return Status::ok();
  return Status::error(Code::numeric, "the gradient with the strategy's terms is not finite",
                       "Lower mu or the learning rate.");
}

Status Session::step(const Batch& batch, const StepOptions& options, const std::atomic<bool>& abort, StepResult* out) {
  if (Status s = gradient(batch, options.seed, abort, out); !s.is_ok()) return s;
  if (Status s = add_local_terms(options, out); !s.is_ok()) return s;
  optimize(options, out->gradient_norm);
  return Status::ok();
}

Status Session::evaluate(const Batch& batch, const std::atomic<bool>& abort, std::vector<double>* losses,
                         std::vector<int32_t>* tokens) {
  losses->assign(batch.lengths.size(), 0.0);
  tokens->assign(batch.lengths.size(), 0);
  return for_passes(batch, [&](int64_t first_row, size_t first_example, Segments segments) {
    const int32_t* labels = batch.labels.data() + first_row;
    if (Status s =
            decoder_->losses(backend(), batch.ids.data() + first_row, labels, segments, row_losses_.data(), abort);
        !s.is_ok())
      return s;
    for (int64_t i = 0; i < segments.count; i++) {
      const Segment& segment = segments.data[i];
      const size_t example = first_example + static_cast<size_t>(i);
      for (int64_t m = segment.first; m < segment.first + segment.count; m++) {
        if (labels[m] < 0) continue;
        (*losses)[example] += row_losses_[static_cast<size_t>(m)];
        (*tokens)[example]++;
      }
    }
    return Status::ok();
  });
}

Status Session::logits(const Batch& batch, const std::atomic<bool>& abort, std::vector<float>* out) {
  const int64_t vocabulary = base_->shape().vocabulary;
  out->resize(batch.ids.size() * static_cast<size_t>(vocabulary));
  return for_passes(batch, [&](int64_t first_row, size_t, Segments segments) {
    return decoder_->logits(backend(), batch.ids.data() + first_row, segments, out->data() + first_row * vocabulary,
                            abort);
  });
}

}  // namespace oneround
