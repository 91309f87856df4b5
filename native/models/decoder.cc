#include "models/decoder.h"

#include <algorithm>

namespace oneround {

Status Decoder::create(std::shared_ptr<const BaseWeights> base, const Parameters& parameters,
                       const std::vector<Overlay>& overlays, DecoderLimits limits, std::unique_ptr<Decoder>* out) {
  auto decoder = std::make_unique<Decoder>();
  decoder->base_ = std::move(base);
  decoder->limits_ = limits;
  if (Status s = decoder->bind(parameters, overlays); !s.is_ok()) return s;
  *out = std::move(decoder);
  return Status::ok();
}

const float* Decoder::bind_vector(const Parameters& parameters, const std::string& name, float** gradient) {
  if (const Slot* slot = parameters.find(Slot::Kind::dense, name)) {
    if (limits_.training) *gradient = parameters.gradient() + slot->first;
    return parameters.values() + slot->first;
  }
  const Weight* stored = base_->find(name);
  frozen_.push_back({stored, std::vector<float>(static_cast<size_t>(stored->cols))});
  return frozen_.back().values.data();
}

Norm Decoder::bind_norm(const Parameters& parameters, const std::string& name, bool has_bias) {
  Norm norm;
  norm.weight = bind_vector(parameters, name + ".weight", &norm.d_weight);
  if (has_bias) norm.bias = bind_vector(parameters, name + ".bias", &norm.d_bias);
  return norm;
}

LinearLayer Decoder::bind_linear(const Parameters& parameters, const std::vector<Overlay>& overlays,
                                 const std::string& name, bool has_bias) {
  LinearLayer layer;
  layer.weight = *base_->find(name + ".weight");
  if (const Slot* slot = parameters.find(Slot::Kind::dense, name + ".weight")) {
    layer.weight = parameters.dense_weight(*slot);
    if (limits_.training) layer.d_weight = parameters.dense(*slot, parameters.gradient());
  }
  if (has_bias) layer.bias = bind_vector(parameters, name + ".bias", &layer.d_bias);
  if (const Slot* slot = parameters.find(Slot::Kind::lora, name)) {
    layer.a = parameters.lora_a(*slot, parameters.values());
    layer.b = parameters.lora_b(*slot, parameters.values());
    if (limits_.training) {
      layer.d_a = parameters.lora_a(*slot, parameters.gradient());
      layer.d_b = parameters.lora_b(*slot, parameters.gradient());
    }
    layer.scale = slot->scale;
    layer.dropout.rate = slot->dropout;
    layer.dropout.layer = static_cast<uint32_t>(slot - parameters.slots().data());
  }
  for (const Overlay& overlay : overlays)
    if (overlay.layer == name) layer.overlay = &overlay;
  return layer;
}

BlockWeights Decoder::bind_block(const Parameters& parameters, const std::vector<Overlay>& overlays, int64_t layer) {
  const DecoderShape& shape = base_->shape();
  const ModuleNames& names = shape.names;
  const std::string prefix = names.block_prefix(layer);
  const auto linear = [&](const std::string& name, bool bias) {
    return bind_linear(parameters, overlays, prefix + name, bias);
  };
  BlockWeights block;
  if (shape.fused_attention) {
    block.fused = linear(names.fused, shape.qkv_bias);
  } else {
    block.q = linear(names.q, shape.qkv_bias);
    block.k = linear(names.k, shape.qkv_bias);
    block.v = linear(names.v, shape.qkv_bias);
  }
  if (shape.query_key_norm) {
    block.q_norm = bind_norm(parameters, prefix + names.q_norm, false);
    block.k_norm = bind_norm(parameters, prefix + names.k_norm, false);
  }
  block.o = linear(names.o, shape.other_bias);
  if (!shape.gelu) block.gate = linear(names.gate, shape.other_bias);
  block.up = linear(names.up, shape.other_bias);
  block.down = linear(names.down, shape.other_bias);
  block.attention_norm = bind_norm(parameters, prefix + names.attention_norm, shape.layer_norm);
  block.feed_norm = bind_norm(parameters, prefix + names.feed_norm, shape.layer_norm);
  return block;
}

Status Decoder::bind(const Parameters& parameters, const std::vector<Overlay>& overlays) {
  const DecoderShape& shape = base_->shape();
  const ModuleNames& names = shape.names;
  const auto table = [&](const std::string& name, Weight* weight, Matrix* gradient) {
    *weight = *base_->find(name);
    const Slot* slot = parameters.find(Slot::Kind::dense, name);
    if (slot == nullptr) return;
    *weight = parameters.dense_weight(*slot);
    if (limits_.training) *gradient = parameters.dense(*slot, parameters.gradient());
    first_trained_ = 0;
  };
  first_trained_ = shape.layers;
  for (int64_t i = 0; i < shape.layers; i++) {
    blocks_.push_back(bind_block(parameters, overlays, i));
    if (blocks_.back().trains()) first_trained_ = std::min(first_trained_, i);
  }
  table(names.embedding + ".weight", &embedding_, &d_embedding_);
  if (shape.learned_positions > 0) table(names.positions + ".weight", &positions_, &d_positions_);
  head_.norm = bind_norm(parameters, names.final_norm, shape.layer_norm);
  if (shape.tied) {
    head_.vocabulary = embedding_;
    head_.d_vocabulary = d_embedding_;
    return Status::ok();
  }
  const LinearLayer untied = bind_linear(parameters, overlays, names.head, false);
  if (untied.has_lora() || untied.overlay != nullptr)
    return Status::error(Code::unsupported, "an adapter on " + names.head, "Leave it out of the targets.");
  head_.vocabulary = untied.weight;
  head_.d_vocabulary = untied.d_weight;
  return Status::ok();
}

void Decoder::lay_out(Arena* arena) {
  const DecoderShape& s = base_->shape();
  const int64_t m = limits_.rows;
  const auto rows_by = [&](int64_t cols) { return matrix(arena->take<float>(m * cols), m, cols); };
  int64_t widest_rank = 0, widest_overlay = 0, shared_rank[kLinearPlaces] = {};
  bool drops = false;
  const bool separate = limits_.training && !limits_.recompute;
  const int64_t sets = separate ? s.layers : 1;
  if (limits_.training && limits_.recompute)
    for (int64_t i = 0; i < s.layers; i++) inputs_.push_back(rows_by(s.hidden));
  kept_.assign(static_cast<size_t>(sets), {});
  for (int64_t i = 0; i < sets; i++) {
    BlockActivations& kept = kept_[static_cast<size_t>(i)];
    kept.x = rows_by(s.hidden);
    kept.qkv = rows_by(s.qkv_width());
    if (s.query_key_norm) {
      kept.projected = rows_by(s.qkv_width());
      kept.head_inv = arena->take<float>(m * (s.heads + s.kv_heads));
    }
    kept.attended = rows_by(s.query_width());
    kept.log_sum = rows_by(s.heads);
    kept.middle = rows_by(s.hidden);
    if (!s.gelu) kept.gate = rows_by(s.intermediate);
    kept.up = rows_by(s.intermediate);
    kept.attention_rows = {arena->take<float>(m), arena->take<float>(m)};
    kept.feed_rows = {arena->take<float>(m), arena->take<float>(m)};
  }
  for (int64_t i = 0; i < s.layers; i++) {
    BlockWeights& block = blocks_[static_cast<size_t>(i)];
    BlockActivations& kept = kept_[static_cast<size_t>(separate ? i : 0)];
    // in the order of LinearPlace
    const LinearLayer* layers[kLinearPlaces] = {&block.q, &block.k,    &block.v,  &block.fused,
                                                &block.o, &block.gate, &block.up, &block.down};
    for (int at = 0; at < kLinearPlaces; at++) {
      const LinearLayer& layer = *layers[at];
      if (layer.has_lora() && separate) kept.lora_u[at] = arena->take<float>(m * layer.rank());
      shared_rank[at] = std::max(shared_rank[at], layer.rank());
      if (layer.has_lora()) widest_rank = std::max(widest_rank, layer.rank());
      if (layer.overlay != nullptr && !layer.overlay->dense())
        widest_overlay = std::max(widest_overlay, layer.overlay->rank);
      drops = drops || (layer.has_lora() && layer.dropout.rate > 0);
    }
  }
  if (!separate)
    for (int at = 0; at < kLinearPlaces; at++) kept_[0].lora_u[at] = arena->take<float>(m * shared_rank[at]);
  scratch_.normed = rows_by(s.hidden);
  scratch_.active = rows_by(s.intermediate);
  if (limits_.training) {
    scratch_.d_normed = rows_by(s.hidden);
    scratch_.d_active = rows_by(s.intermediate);
    scratch_.d_attended = rows_by(s.query_width());
    scratch_.d_qkv = rows_by(s.qkv_width());
    if (s.query_key_norm) scratch_.d_projected = rows_by(s.qkv_width());
    d_ = rows_by(s.hidden);
    scratch_.linear.lora_d = arena->take<float>(m * widest_rank);
    if (drops) scratch_.linear.dropped = arena->take<float>(m * std::max({s.hidden, s.intermediate, s.query_width()}));
  }
  scratch_.linear.overlay_u = arena->take<float>(m * widest_overlay);
  inner_ = arena->take<float>(std::max<int64_t>({1, widest_rank, widest_overlay}));
  final_ = rows_by(s.hidden);

  const auto head_rows_by = [&](int64_t cols) { return matrix(arena->take<float>(kHeadRows * cols), kHeadRows, cols); };
  head_scratch_.chosen = head_rows_by(s.hidden);
  head_scratch_.normed = head_rows_by(s.hidden);
  head_scratch_.d_normed = head_rows_by(s.hidden);
  head_scratch_.d_chosen = head_rows_by(s.hidden);
  head_scratch_.logits = head_rows_by(s.vocabulary);
  head_scratch_.norm_rows = {arena->take<float>(kHeadRows), arena->take<float>(kHeadRows)};
  head_scratch_.rows = arena->take<int32_t>(kHeadRows);
  head_scratch_.labels = arena->take<int32_t>(kHeadRows);
  head_scratch_.segments = arena->take<Segment>(kHeadRows);
  if (s.learned_positions > 0) {
    position_ids_ = arena->take<int32_t>(m);
  } else {
    cos_ = arena->take<float>(limits_.longest_segment * s.head_dim / 2);
    sin_ = arena->take<float>(limits_.longest_segment * s.head_dim / 2);
  }
}

int64_t Decoder::activation_bytes() const {
  Decoder counting;
  counting.base_ = base_;
  counting.limits_ = limits_;
  counting.blocks_ = blocks_;
  Arena arena;
  counting.lay_out(&arena);
  return arena.used();
}

int64_t Decoder::widest() const {
  const DecoderShape& s = base_->shape();
  return std::max({s.vocabulary, s.hidden, s.intermediate, s.qkv_width()});
}

}  // namespace oneround
