#include "bind/session_options.h"

#include <memory>

#include "bind/values.h"

namespace oneround::bind {

namespace {

// What of a slot's factors does not train: lora_b's A; a core's A and B. Their sizes are checked against the layer's.
bool read_frozen(const Napi::Object& object, const std::string& name, Slot* out) {
  std::span<const float> a, b;
  if (!read_float32(object.Get("a"), name + ".a", &a)) return false;
  if (out->kind == Slot::Kind::core && !read_float32(object.Get("b"), name + ".b", &b)) return false;
  out->frozen = std::make_shared<FrozenFactors>();
  out->frozen->a.assign(a.begin(), a.end());
  out->frozen->b.assign(b.begin(), b.end());
  return true;
}

bool read_slot(Napi::Value value, const std::string& name, Slot* out) {
  Napi::Object object;
  std::string kind;
  if (!read_object(value, name, &object) || !read_string(object.Get("kind"), name + ".kind", &kind)) return false;
  if (object.Has("weightDecay")) {
    if (!read_double(object.Get("weightDecay"), name + ".weightDecay", &out->weight_decay)) return false;
    if (out->weight_decay < 0) return refuse(value.Env(), name + ".weightDecay", "at least 0");
  }
  if (kind == "dense") {
    out->kind = Slot::Kind::dense;
    return read_string(object.Get("tensor"), name + ".tensor", &out->name);
  }
  const bool lora = kind == "lora", lora_b = kind == "lora_B";
  if (!lora && !lora_b && kind != "core")
    return refuse(value.Env(), name + ".kind", "'lora', 'lora_B', 'core' or 'dense'");
  size_t rank;
  double scale, dropout;
  if (!read_string(object.Get("layer"), name + ".layer", &out->name) ||
      !read_size(object.Get("rank"), name + ".rank", 1, 1 << 16, &rank) ||
      !read_double(object.Get("scale"), name + ".scale", &scale) ||
      !read_double(object.Get("dropout"), name + ".dropout", &dropout))
    return false;
  if (dropout < 0 || dropout >= 1) return refuse(value.Env(), name + ".dropout", "at least 0 and below 1");
  out->kind = lora ? Slot::Kind::lora : lora_b ? Slot::Kind::lora_b : Slot::Kind::core;
  out->rank = static_cast<int64_t>(rank);
  out->scale = static_cast<float>(scale);
  out->dropout = static_cast<float>(dropout);
  return lora || read_frozen(object, name, out);
}

bool read_overlay(Napi::Value value, const std::string& name, Overlay* out) {
  Napi::Object object;
  size_t rank;
  std::span<const float> a, b;
  if (!read_object(value, name, &object) || !read_string(object.Get("layer"), name + ".layer", &out->layer))
    return false;
  if (object.Has("dense")) {
    if (!read_float32(object.Get("dense"), name + ".dense", &a)) return false;
    out->a.assign(a.begin(), a.end());
    return true;
  }
  if (!read_size(object.Get("rank"), name + ".rank", 1, 1 << 16, &rank) ||
      !read_float32(object.Get("a"), name + ".a", &a) || !read_float32(object.Get("b"), name + ".b", &b))
    return false;
  out->rank = static_cast<int64_t>(rank);
  out->a.assign(a.begin(), a.end());
  out->b.assign(b.begin(), b.end());
  return true;
}

}  // namespace

bool read_session_options(Napi::Value value, SessionOptions* out) {
  Napi::Object object;
  Napi::Array slots, overlays;
  size_t threads, rows, longest, cache = 0, sequences = 1, clients = 1;
  if (!read_object(value, "options", &object) || !read_array(object.Get("slots"), "slots", &slots) ||
      !read_array(object.Get("overlay"), "overlay", &overlays) ||
      !read_size(object.Get("threads"), "threads", 1, 256, &threads) ||
      !read_size(object.Get("rowsPerPass"), "rowsPerPass", 1, 1 << 20, &rows) ||
      !read_size(object.Get("longestExample"), "longestExample", 1, 1 << 20, &longest) ||
      !read_bool(object.Get("training"), "training", &out->training))
    return false;
  if (object.Has("recompute") && !read_bool(object.Get("recompute"), "recompute", &out->recompute)) return false;
  if (object.Has("anchored") && !read_bool(object.Get("anchored"), "anchored", &out->anchored)) return false;
  if (object.Has("corrected") && !read_bool(object.Get("corrected"), "corrected", &out->corrected)) return false;
  if (object.Has("cache") && !read_size(object.Get("cache"), "cache", 0, 1 << 20, &cache)) return false;
  if (object.Has("sequences") && !read_size(object.Get("sequences"), "sequences", 1, 256, &sequences)) return false;
  if (object.Has("clients") && !read_size(object.Get("clients"), "clients", 1, 1024, &clients)) return false;
  if (object.Has("compute") && !read_compute(object.Get("compute"), &out->compute)) return false;
  if (object.Has("profile") && !read_bool(object.Get("profile"), "profile", &out->profile)) return false;
  out->cache = static_cast<int64_t>(cache);
  out->sequences = static_cast<int64_t>(sequences);
  out->clients = static_cast<int64_t>(clients);
  out->threads = static_cast<int>(threads);
  out->rows_per_pass = static_cast<int64_t>(rows);
  out->longest_example = static_cast<int64_t>(longest);
  out->slots.resize(slots.Length());
  for (uint32_t i = 0; i < slots.Length(); i++)
    if (!read_slot(slots.Get(i), "slots[" + std::to_string(i) + "]", &out->slots[i])) return false;
  out->overlays.resize(overlays.Length());
  for (uint32_t i = 0; i < overlays.Length(); i++)
    if (!read_overlay(overlays.Get(i), "overlay[" + std::to_string(i) + "]", &out->overlays[i])) return false;
  return true;
}

bool read_compute(Napi::Value value, Compute* out) {
  std::string text;
  if (!read_string(value, "compute", &text)) return false;
  if (text != "f32" && text != "bf16") return refuse(value.Env(), "compute", "'f32' or 'bf16'");
  *out = text == "bf16" ? Compute::bf16 : Compute::f32;
  return true;
}

bool read_batch(Napi::Value value, Batch* out) {
  Napi::Object object;
  std::span<const int32_t> ids, labels, lengths;
  std::span<const uint32_t> counters;
  if (!read_object(value, "batch", &object) || !read_int32(object.Get("ids"), "batch.ids", &ids) ||
      !read_int32(object.Get("labels"), "batch.labels", &labels) ||
      !read_int32(object.Get("lengths"), "batch.lengths", &lengths) ||
      !read_uint32(object.Get("dropoutCounters"), "batch.dropoutCounters", &counters))
    return false;
  std::span<const int32_t> parents;
  if (object.Has("parents") && !read_int32(object.Get("parents"), "batch.parents", &parents)) return false;
  out->parents.assign(parents.begin(), parents.end());
  out->ids.assign(ids.begin(), ids.end());
  out->labels.assign(labels.begin(), labels.end());
  out->lengths.assign(lengths.begin(), lengths.end());
  out->dropout_counters.assign(counters.begin(), counters.end());
  return true;
}

bool read_step_options(Napi::Value value, StepOptions* out) {
  Napi::Object object;
  if (!read_object(value, "options", &object)) return false;
  const std::pair<const char*, double StepOptions::*> numbers[] = {{"learningRate", &StepOptions::learning_rate},
                                                                   {"beta1", &StepOptions::beta1},
                                                                   {"beta2", &StepOptions::beta2},
                                                                   {"epsilon", &StepOptions::epsilon},
                                                                   {"weightDecay", &StepOptions::weight_decay},
                                                                   {"clipNorm", &StepOptions::clip_norm}};
  for (const auto& [name, member] : numbers)
    if (!read_double(object.Get(name), std::string("options.") + name, &(out->*member))) return false;
  if (object.Has("proximal") && !read_double(object.Get("proximal"), "options.proximal", &out->proximal)) return false;
  std::string optimizer;
  size_t seed;
  if (!read_string(object.Get("optimizer"), "options.optimizer", &optimizer) ||
      !read_double(object.Get("momentum"), "options.momentum", &out->momentum) ||
      !read_bool(object.Get("nesterov"), "options.nesterov", &out->nesterov))
    return false;
  if (optimizer != "adamw" && optimizer != "sgd") return refuse(value.Env(), "options.optimizer", "'adamw' or 'sgd'");
  out->optimizer = optimizer == "sgd" ? Optimizer::sgd : Optimizer::adamw;
  if (!read_size(object.Get("seed"), "options.seed", 0, 0xffffffffu, &seed)) return false;
  out->seed = static_cast<uint32_t>(seed);
  return true;
}

Napi::Object to_object(Napi::Env env, const MemoryBudget& budget) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("parameters", static_cast<double>(budget.parameters));
  object.Set("gradients", static_cast<double>(budget.gradients));
  object.Set("optimizer", static_cast<double>(budget.optimizer));
  object.Set("activations", static_cast<double>(budget.activations));
  object.Set("scratch", static_cast<double>(budget.scratch));
  object.Set("cache", static_cast<double>(budget.cache));
  object.Set("total", static_cast<double>(budget.total()));
  return object;
}

Napi::Object to_object(Napi::Env env, const StepResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("loss", result.loss);
  object.Set("tokens", static_cast<double>(result.tokens));
  object.Set("gradientNorm", result.gradient_norm);
  return object;
}

}  // namespace oneround::bind
