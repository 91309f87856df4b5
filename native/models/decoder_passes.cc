// Decoder's passes; decoder.cc binds weights, decoder_layout.cc lays buffers out.
#include "engine/elementary.h"
#include "models/decoder.h"

namespace oneround {

namespace {

// The first `rows` rows of every buffer.
BlockActivations top_rows(BlockActivations kept, int64_t rows) {
  for (Matrix* m :
       {&kept.x, &kept.projected, &kept.qkv, &kept.attended, &kept.log_sum, &kept.middle, &kept.gate, &kept.up})
    m->rows = rows;
  return kept;
}
BlockScratch top_rows(BlockScratch scratch, int64_t rows) {
  for (Matrix* m : {&scratch.normed, &scratch.d_normed, &scratch.active, &scratch.d_active, &scratch.d_attended,
                    &scratch.d_qkv, &scratch.d_projected})
    m->rows = rows;
  return scratch;
}

}  // namespace

Status Decoder::allocate(const Backend& backend) {
  if (!arena_.reserve(activation_bytes() + 64))
    return Status::error(Code::memory, "no memory for activations of " + std::to_string(limits_.rows) + " rows",
                         "Lower the batch or the cutoff.");
  lay_out(&arena_);
  const DecoderShape& s = base_->shape();
  const int64_t half = s.head_dim / 2;
  for (int64_t t = 0; cos_ != nullptr && t < limits_.longest_segment; t++)
    for (int64_t i = 0; i < half; i++) {
      double sine, cosine;
      sine_cosine(static_cast<double>(t) * s.inverse_frequencies[static_cast<size_t>(i)], &sine, &cosine);
      cos_[t * half + i] = static_cast<float>(cosine);
      sin_[t * half + i] = static_cast<float>(sine);
    }
  for (FrozenVector& vector : frozen_) copy_weight(backend, *vector.stored, vector.values.data());
  return Status::ok();
}

void Decoder::fill_position_ids(Segments segments) {
  for (int64_t s = 0; s < segments.count; s++)
    for (int64_t t = 0; t < segments.data[s].count; t++)
      position_ids_[segments.data[s].first + t] = static_cast<int32_t>(segments.data[s].start + t);
}

BlockContext Decoder::context(const Backend& backend, const Pass& pass) const {
  return {&backend, &base_->shape(), cos_, sin_, pass};
}

BlockActivations Decoder::activations(int64_t layer, int64_t rows) const {
  BlockActivations kept = kept_[kept_.size() == 1 ? 0 : static_cast<size_t>(layer)];
  if (!inputs_.empty()) kept.x = inputs_[static_cast<size_t>(layer)];
  return top_rows(kept, rows);
}

Status Decoder::forward(const BlockContext& context, const int32_t* ids, int64_t rows, const std::atomic<bool>& abort) {
  const Backend& backend = *context.backend;
  const int64_t layers = base_->shape().layers;
  const BlockScratch scratch = top_rows(scratch_, rows);
  const Matrix last = final_.slice_rows(0, rows);
  const Matrix x = activations(0, rows).x;
  backend.embed(backend.self, ids, embedding_, x);
  if (positions_.data != nullptr) {
    fill_position_ids(context.pass.segments);
    backend.embed(backend.self, position_ids_, positions_, scratch.normed);
    backend.add(backend.self, scratch.normed, x);
  }
  for (int64_t i = 0; i < layers; i++) {
    if (abort.load(std::memory_order_relaxed)) return stopped();
    const BlockActivations kept = activations(i, rows);
    const Matrix y = i + 1 == layers ? last : activations(i + 1, rows).x;
    if (context.cache != nullptr) context.cache->layer = i;
    block_forward(context, blocks_[static_cast<size_t>(i)], kept, scratch, y);
  }
  return Status::ok();
}

Status Decoder::losses(const Backend& backend, const int32_t* ids, const int32_t* labels, const Pass& pass,
                       double* losses, const std::atomic<bool>& abort) {
  const BlockContext in = context(backend, pass);
  if (Status s = forward(in, ids, pass.rows(), abort); !s.is_ok()) return s;
  return head_loss(in, head_, head_scratch_, final_.slice_rows(0, pass.rows()), labels, {}, losses, abort);
}

Status Decoder::backward(const Backend& backend, const int32_t* ids, const int32_t* labels, const Pass& pass,
                         double* losses, const std::atomic<bool>& abort) {
  const BlockContext in = context(backend, pass);
  const int64_t rows = pass.rows();
  if (Status s = forward(in, ids, rows, abort); !s.is_ok()) return s;
  const Matrix d = d_.slice_rows(0, rows);
  if (Status s = head_loss(in, head_, head_scratch_, final_.slice_rows(0, rows), labels, d, losses, abort); !s.is_ok())
    return s;
  const BlockScratch scratch = top_rows(scratch_, rows);
  for (int64_t i = base_->shape().layers - 1; i >= first_trained_; i--) {
    if (abort.load(std::memory_order_relaxed)) return stopped();
    const BlockActivations kept = activations(i, rows);
    // The head has read final_: the block's output may go there a second time.
    if (limits_.recompute)
      block_forward(in, blocks_[static_cast<size_t>(i)], kept, scratch, final_.slice_rows(0, rows));
    block_backward(in, blocks_[static_cast<size_t>(i)], kept, scratch, d,
                   i > first_trained_ || d_embedding_.data != nullptr || d_positions_.data != nullptr);
  }
  if (d_positions_.data != nullptr) backend.embed_backward(backend.self, position_ids_, d, d_positions_);
  if (d_embedding_.data != nullptr) backend.embed_backward(backend.self, ids, d, d_embedding_);
  return Status::ok();
}

Status Decoder::logits(const Backend& backend, const int32_t* ids, const Pass& pass, float* out,
                       const std::atomic<bool>& abort) {
  const BlockContext in = context(backend, pass);
  const int64_t rows = pass.rows();
  if (Status s = forward(in, ids, rows, abort); !s.is_ok()) return s;
  head_logits(in, head_, head_scratch_, final_.slice_rows(0, rows), matrix(out, rows, base_->shape().vocabulary));
  return Status::ok();
}

}  // namespace oneround
