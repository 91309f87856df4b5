// Session's generation.
#include <algorithm>

#include "train/session.h"

namespace oneround {

namespace {

Status refuse(const std::string& found, const std::string& fix) { return Status::error(Code::argument, found, fix); }

Status check_vocabulary(std::span<const int32_t> ids, int64_t vocabulary) {
  for (int32_t id : ids)
    if (id < 0 || id >= vocabulary)
      return refuse("token id " + std::to_string(id) + " is outside the vocabulary", "Use the base's own tokenizer.");
  return Status::ok();
}

Status no_room(int64_t length, int64_t capacity) {
  return refuse(std::to_string(length) + " tokens do not fit the cache of " + std::to_string(capacity),
                "Shorten the prompt or generate fewer tokens.");
}

}  // namespace

Status Session::check_prompt(std::span<const int32_t> ids, int32_t sequence) const {
  if (shared_->options.cache == 0) return refuse("the session has no cache", "Open it with cache > 0.");
  if (sequence < 0 || sequence >= shared_->options.sequences)
    return refuse("there is no sequence " + std::to_string(sequence), "Open the session with more sequences.");
  if (ids.empty()) return refuse("the prompt is empty", "Give at least one token.");
  const int64_t length = static_cast<int64_t>(ids.size());
  if (length > shared_->cache.capacity) return no_room(length, shared_->cache.capacity);
  return check_vocabulary(ids, shared_->base->shape().vocabulary);
}

Status Session::check_next(std::span<const int32_t> ids, std::span<const int32_t> sequences) const {
  if (shared_->options.cache == 0) return refuse("the session has no cache", "Open it with cache > 0.");
  if (ids.empty() || ids.size() != sequences.size())
    return refuse(std::to_string(ids.size()) + " tokens for " + std::to_string(sequences.size()) + " sequences",
                  "Give one token for each sequence.");
  for (size_t i = 0; i < sequences.size(); i++) {
    const int32_t sequence = sequences[i];
    if (sequence < 0 || sequence >= shared_->options.sequences ||
        std::count(sequences.begin(), sequences.begin() + static_cast<std::ptrdiff_t>(i), sequence) > 0)
      return refuse("sequence " + std::to_string(sequence) + " is not there, or twice", "Name each sequence once.");
    const int64_t length = shared_->cache.lengths[static_cast<size_t>(sequence)];
    if (length == 0) return refuse("there is no prompt yet", "Call prefill first.");
    if (length + 1 > shared_->cache.capacity) return no_room(length + 1, shared_->cache.capacity);
  }
  return check_vocabulary(ids, shared_->base->shape().vocabulary);
}

Status Session::prefill(std::span<const int32_t> ids, int32_t sequence, const std::atomic<bool>& abort,
                        std::vector<float>* logits) {
  logits->resize(static_cast<size_t>(shared_->base->shape().vocabulary));
  return shared_->decoder->prefill(shared_->backend->table(), *parameters_, ids.data(),
                                   static_cast<int64_t>(ids.size()), sequence, &shared_->cache, logits->data(), abort);
}

Status Session::next(std::span<const int32_t> ids, std::span<const int32_t> sequences, const std::atomic<bool>& abort,
                     std::vector<float>* logits) {
  logits->resize(ids.size() * static_cast<size_t>(shared_->base->shape().vocabulary));
  if (shared_->options.sequences == 1)
    return shared_->decoder->next(shared_->backend->table(), *parameters_, ids[0], &shared_->cache, logits->data(),
                                  abort);
  return shared_->decoder->next_each(shared_->backend->table(), *parameters_, ids.data(), sequences.data(),
                                     static_cast<int64_t>(ids.size()), &shared_->cache, logits->data(), abort);
}

}  // namespace oneround
