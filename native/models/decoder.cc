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

LinearLayer Decoder::bind_linear(const Parameters& parameters, const std::vector<Overlay>& overlays, const std::string& name) {
  LinearLayer layer;
  layer.weight = *base_->find(name + ".weight");
  if (const Slot* slot = parameters.find(Slot::Kind::dense, name + ".weight")) {
    layer.weight = weight_of(parameters.dense(*slot, parameters.values()));
    if (limits_.training) layer.d_weight = parameters.dense(*slot, parameters.gradient());
  }
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

const float* Decoder::bind_norm(const Parameters& parameters, const std::string& name, float** d_norm) {
  if (const Slot* slot = parameters.find(Slot::Kind::dense, name)) {
    if (limits_.training) *d_norm = parameters.gradient() + slot->first;
    return parameters.values() + slot->first;
  }
  norms_.push_back({base_->find(name), std::vector<float>(static_cast<size_t>(base_->shape().hidden))});
  return norms_.back().values.data();
}

Status Decoder::bind(const Parameters& parameters, const std::vector<Overlay>& overlays) {
  const DecoderShape& shape = base_->shape();
  norms_.reserve(static_cast<size_t>(2 * shape.layers + 1));
  const auto linear = [&](const std::string& name) { return bind_linear(parameters, overlays, name); };
  first_trained_ = shape.layers;
  for (int64_t i = 0; i < shape.layers; i++) {
    const std::string prefix = layer_prefix(i);
    BlockWeights block;
    block.q = linear(prefix + "self_attn.q_proj");
    block.k = linear(prefix + "self_attn.k_proj");
    block.v = linear(prefix + "self_attn.v_proj");
    block.o = linear(prefix + "self_attn.o_proj");
    block.gate = linear(prefix + "mlp.gate_proj");
    block.up = linear(prefix + "mlp.up_proj");
    block.down = linear(prefix + "mlp.down_proj");
    block.input_norm = bind_norm(parameters, prefix + "input_layernorm.weight", &block.d_input_norm);
    block.post_norm = bind_norm(parameters, prefix + "post_attention_layernorm.weight", &block.d_post_norm);
    if (block.trains()) first_trained_ = std::min(first_trained_, i);
    blocks_.push_back(block);
  }
  embedding_ = *base_->find("model.embed_tokens.weight");
  if (const Slot* slot = parameters.find(Slot::Kind::dense, "model.embed_tokens.weight")) {
    embedding_ = weight_of(parameters.dense(*slot, parameters.values()));
    if (limits_.training) d_embedding_ = parameters.dense(*slot, parameters.gradient());
    first_trained_ = 0;
  }
  head_.norm = bind_norm(parameters, "model.norm.weight", &head_.d_norm);
  if (shape.tied) {
    head_.vocabulary = embedding_;
    head_.d_vocabulary = d_embedding_;
  } else {
    const LinearLayer untied = linear("lm_head");
    if (untied.has_lora() || untied.overlay != nullptr)
      return Status::error(Code::unsupported, "an adapter on lm_head", "Leave lm_head out of the targets.");
    head_.vocabulary = untied.weight;
    head_.d_vocabulary = untied.d_weight;
  }
  return Status::ok();
}

void Decoder::lay_out(Arena* arena) {
  const DecoderShape& s = base_->shape();
  const int64_t m = limits_.rows;
  const auto rows_by = [&](int64_t cols) { return matrix(arena->take<float>(m * cols), m, cols); };
  int64_t widest_rank = 0, widest_overlay = 0;
  bool drops = false;
  const int64_t sets = limits_.training ? s.layers : 1;
  kept_.assign(static_cast<size_t>(sets), {});
  for (int64_t i = 0; i < sets; i++) {
    BlockActivations& kept = kept_[static_cast<size_t>(i)];
    kept.x = rows_by(s.hidden);
    kept.q = rows_by(s.query_width());
    kept.k = rows_by(s.kv_width());
    kept.v = rows_by(s.kv_width());
    kept.attended = rows_by(s.query_width());
    kept.log_sum = rows_by(s.heads);
    kept.middle = rows_by(s.hidden);
    kept.gate = rows_by(s.intermediate);
    kept.up = rows_by(s.intermediate);
    kept.inv_rms1 = arena->take<float>(m);
    kept.inv_rms2 = arena->take<float>(m);
  }
  for (int64_t i = 0; i < s.layers; i++) {
    BlockWeights& block = blocks_[static_cast<size_t>(i)];
    BlockActivations& kept = kept_[static_cast<size_t>(limits_.training ? i : 0)];
    const LinearLayer* layers[7] = {&block.q, &block.k, &block.v, &block.o, &block.gate, &block.up, &block.down};
    for (int at = 0; at < 7; at++) {
      const LinearLayer& layer = *layers[at];
      if (layer.has_lora() && limits_.training) kept.lora_u[at] = arena->take<float>(m * layer.rank());
      if (layer.has_lora()) widest_rank = std::max(widest_rank, layer.rank());
      if (layer.overlay != nullptr && !layer.overlay->dense()) widest_overlay = std::max(widest_overlay, layer.overlay->rank);
      drops = drops || (layer.has_lora() && layer.dropout.rate > 0);
    }
  }
  if (!limits_.training && widest_rank > 0) {
    float* shared = arena->take<float>(m * widest_rank);
    for (float*& u : kept_[0].lora_u) u = shared;
  }
  scratch_.normed = rows_by(s.hidden);
  scratch_.active = rows_by(s.intermediate);
  if (limits_.training) {
    scratch_.d_normed = rows_by(s.hidden);
    scratch_.d_active = rows_by(s.intermediate);
    scratch_.d_attended = rows_by(s.query_width());
    scratch_.d_q = rows_by(s.query_width());
    scratch_.d_k = rows_by(s.kv_width());
    scratch_.d_v = rows_by(s.kv_width());
    d_ = rows_by(s.hidden);
    scratch_.linear.lora_d = arena->take<float>(m * widest_rank);
    if (drops) scratch_.linear.dropped = arena->take<float>(m * std::max({s.hidden, s.intermediate, s.query_width()}));
  }
  scratch_.linear.overlay_u = arena->take<float>(m * widest_overlay);
  final_ = rows_by(s.hidden);

  const auto head_rows_by = [&](int64_t cols) { return matrix(arena->take<float>(kHeadRows * cols), kHeadRows, cols); };
  head_scratch_.chosen = head_rows_by(s.hidden);
  head_scratch_.normed = head_rows_by(s.hidden);
  head_scratch_.d_normed = head_rows_by(s.hidden);
  head_scratch_.d_chosen = head_rows_by(s.hidden);
  head_scratch_.logits = head_rows_by(s.vocabulary);
  head_scratch_.inv_rms = arena->take<float>(kHeadRows);
  head_scratch_.rows = arena->take<int32_t>(kHeadRows);
  head_scratch_.labels = arena->take<int32_t>(kHeadRows);
  head_scratch_.segments = arena->take<Segment>(kHeadRows);
  cos_ = arena->take<float>(limits_.longest_segment * s.head_dim / 2);
  sin_ = arena->take<float>(limits_.longest_segment * s.head_dim / 2);
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
  return std::max({s.vocabulary, s.hidden, s.intermediate, s.query_width()});
}

}  // namespace oneround
