// Session's generation.
#include "train/session.h"

namespace oneround {

Status Session::check_tokens(std::span<const int32_t> ids, bool first) const {
  const auto refuse = [](const std::string& found, const std::string& fix) {
    return Status::error(Code::argument, found, fix);
  };
  if (options_.cache == 0) return refuse("the session has no cache", "Open it with cache > 0.");
  if (ids.empty()) return refuse("the prompt is empty", "Give at least one token.");
  if (!first && cache_.length == 0) return refuse("there is no prompt yet", "Call prefill first.");
  const int64_t length = static_cast<int64_t>(ids.size()) + (first ? 0 : cache_.length);
  if (length > cache_.capacity)
    return refuse(std::to_string(length) + " tokens do not fit the cache of " + std::to_string(cache_.capacity),
                  "Shorten the prompt or generate fewer tokens.");
  for (int32_t id : ids)
    if (id < 0 || id >= base_->shape().vocabulary)
      return refuse("token id " + std::to_string(id) + " is outside the vocabulary", "Use the base's own tokenizer.");
  return Status::ok();
}

Status Session::prefill(std::span<const int32_t> ids, const std::atomic<bool>& abort, std::vector<float>* logits) {
  logits->resize(static_cast<size_t>(base_->shape().vocabulary));
  return decoder_->prefill(backend_->table(), ids.data(), static_cast<int64_t>(ids.size()), &cache_, logits->data(),
                           abort);
}

Status Session::next(int32_t id, const std::atomic<bool>& abort, std::vector<float>* logits) {
  logits->resize(static_cast<size_t>(base_->shape().vocabulary));
  return decoder_->next(backend_->table(), id, &cache_, logits->data(), abort);
}

}  // namespace oneround
