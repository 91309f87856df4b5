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
  if (const Slot* slot = parameters.find_dense(name)) {
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
  if (const Slot* slot = parameters.find_dense(name + ".weight")) {
    layer.weight = parameters.dense_weight(*slot);
    if (limits_.training) layer.d_weight = parameters.dense(*slot, parameters.gradient());
  }
  if (has_bias) layer.bias = bind_vector(parameters, name + ".bias", &layer.d_bias);
  if (const Slot* slot = parameters.find_factors(name)) {
    layer.slot = slot;
    layer.place = static_cast<uint32_t>(slot - parameters.slots().data());
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
  for (const LinearLayer* layer : {&block.fused, &block.q, &block.k, &block.v, &block.o})
    block.exact_attention = block.exact_attention || layer->weight.exact;
  block.rounds_attended = limits_.rounded && !block.o.weight.exact;
  block.rounds_feed = limits_.rounded && !shape.gelu && !block.gate.weight.exact && !block.up.weight.exact;
  return block;
}

Status Decoder::bind(const Parameters& parameters, const std::vector<Overlay>& overlays) {
  const DecoderShape& shape = base_->shape();
  const ModuleNames& names = shape.names;
  const auto table = [&](const std::string& name, Weight* weight, Matrix* gradient) {
    *weight = *base_->find(name);
    const Slot* slot = parameters.find_dense(name);
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
  for (const std::string& name : {names.final_norm + ".weight", names.final_norm + ".bias",
                                  (shape.tied ? names.embedding : names.head) + ".weight"})
    head_trains_ = head_trains_ || parameters.find_dense(name) != nullptr;
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

}  // namespace oneround
