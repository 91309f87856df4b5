#include "bind/weights.h"

#include "bind/values.h"

namespace oneround::bind {

namespace {

constexpr size_t kMost = size_t{1} << 24;

bool read_type(Napi::Value value, const std::string& name, Type* out) {
  std::string text;
  if (!read_string(value, name, &text)) return false;
  constexpr std::pair<const char*, Type> kTypes[] = {
      {"F32", Type::f32},   {"F16", Type::f16},   {"BF16", Type::bf16}, {"Q4_0", Type::q4_0}, {"Q4_1", Type::q4_1},
      {"Q5_0", Type::q5_0}, {"Q5_1", Type::q5_1}, {"Q8_0", Type::q8_0}, {"Q2_K", Type::q2_k}, {"Q3_K", Type::q3_k},
      {"Q4_K", Type::q4_k}, {"Q5_K", Type::q5_k}, {"Q6_K", Type::q6_k}};
  for (const auto& [known, type] : kTypes)
    if (text == known) {
      *out = type;
      return true;
    }
  return refuse(value.Env(), name, "a storage type of binding.ts");
}

bool read_placement(Napi::Value value, const std::string& name, Placement* out) {
  Napi::Object object;
  Napi::Array shape;
  size_t file, offset, heads, rows = 1, cols;
  if (!read_object(value, name, &object) || !read_string(object.Get("name"), name + ".name", &out->name) ||
      !read_size(object.Get("file"), name + ".file", 0, kMost, &file) ||
      !read_size(object.Get("offset"), name + ".offset", 0, size_t{1} << 52, &offset) ||
      !read_type(object.Get("type"), name + ".type", &out->type) ||
      !read_array(object.Get("shape"), name + ".shape", &shape) ||
      !read_size(object.Get("interleavedHeads"), name + ".interleavedHeads", 0, kMost, &heads) ||
      !read_bool(object.Get("transposed"), name + ".transposed", &out->transposed))
    return false;
  if (shape.Length() != 1 && shape.Length() != 2) return refuse(value.Env(), name + ".shape", "one or two numbers");
  const uint32_t last = shape.Length() - 1;
  if (last == 1 && !read_size(shape.Get(0u), name + ".shape[0]", 1, kMost, &rows)) return false;
  if (!read_size(shape.Get(last), name + ".shape", 1, kMost, &cols)) return false;
  out->file = static_cast<int64_t>(file);
  out->offset = static_cast<int64_t>(offset);
  out->rows = static_cast<int64_t>(rows);
  out->cols = static_cast<int64_t>(cols);
  out->interleaved_heads = static_cast<int64_t>(heads);
  return true;
}

}  // namespace

bool read_decoder_shape(Napi::Value value, DecoderShape* out) {
  Napi::Object object;
  if (!read_object(value, "shape", &object)) return false;
  const std::pair<const char*, int64_t DecoderShape::*> sizes[] = {{"vocabulary", &DecoderShape::vocabulary},
                                                                   {"hidden", &DecoderShape::hidden},
                                                                   {"layers", &DecoderShape::layers},
                                                                   {"heads", &DecoderShape::heads},
                                                                   {"kvHeads", &DecoderShape::kv_heads},
                                                                   {"headDim", &DecoderShape::head_dim},
                                                                   {"intermediate", &DecoderShape::intermediate}};
  for (const auto& [name, member] : sizes) {
    size_t size;
    if (!read_size(object.Get(name), std::string("shape.") + name, 1, kMost, &size)) return false;
    out->*member = static_cast<int64_t>(size);
  }
  const std::pair<const char*, bool DecoderShape::*> switches[] = {{"tied", &DecoderShape::tied},
                                                                   {"layerNorm", &DecoderShape::layer_norm},
                                                                   {"gelu", &DecoderShape::gelu},
                                                                   {"fusedAttention", &DecoderShape::fused_attention},
                                                                   {"qkvBias", &DecoderShape::qkv_bias},
                                                                   {"otherBias", &DecoderShape::other_bias},
                                                                   {"queryKeyNorm", &DecoderShape::query_key_norm}};
  for (const auto& [name, member] : switches)
    if (!read_bool(object.Get(name), std::string("shape.") + name, &(out->*member))) return false;
  size_t window = 0, positions = 0;
  std::string names;
  if (!read_size(object.Get("window"), "shape.window", 0, kMost, &window) ||
      !read_size(object.Get("learnedPositions"), "shape.learnedPositions", 0, kMost, &positions) ||
      !read_string(object.Get("names"), "shape.names", &names))
    return false;
  if (names != "llama" && names != "gpt2") return refuse(value.Env(), "shape.names", "'llama' or 'gpt2'");
  out->window = static_cast<int64_t>(window);
  out->learned_positions = static_cast<int64_t>(positions);
  out->names = names == "llama" ? ModuleNames::llama() : ModuleNames::gpt2();
  double epsilon = 0;
  std::span<const double> frequencies;
  if (!read_double(object.Get("normEpsilon"), "shape.normEpsilon", &epsilon) ||
      !read_float64(object.Get("inverseFrequencies"), "shape.inverseFrequencies", &frequencies))
    return false;
  out->norm_epsilon = static_cast<float>(epsilon);
  out->inverse_frequencies.assign(frequencies.begin(), frequencies.end());
  return true;
}

namespace {
// Marks objects of this class, so that another object cannot be taken for one. The value is arbitrary.
constexpr napi_type_tag kTag = {0x6f6e65726f756e64, 0x7765696768747301};
}  // namespace

const Weights* Weights::unwrap(Napi::Object object) {
  bool tagged = false;
  if (napi_check_object_type_tag(object.Env(), object, &kTag, &tagged) != napi_ok || !tagged) return nullptr;
  return Napi::ObjectWrap<Weights>::Unwrap(object);
}

Napi::Function Weights::define(Napi::Env env) {
  return DefineClass(env, "Weights",
                     {InstanceAccessor<&Weights::bytes>("bytes"), InstanceMethod<&Weights::close>("close")});
}

Weights::Weights(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Weights>(info) {
  DecoderShape shape;
  Napi::Array paths, list;
  if (!read_decoder_shape(info[0], &shape) || !read_array(info[1], "files", &paths) ||
      !read_array(info[2], "tensors", &list))
    return;
  std::vector<std::string> files(paths.Length());
  for (uint32_t i = 0; i < paths.Length(); i++)
    if (!read_string(paths.Get(i), "files[" + std::to_string(i) + "]", &files[i])) return;
  std::vector<Placement> tensors(list.Length());
  for (uint32_t i = 0; i < list.Length(); i++)
    if (!read_placement(list.Get(i), "tensors[" + std::to_string(i) + "]", &tensors[i])) return;
  if (Status s = BaseWeights::open(std::move(shape), files, tensors, &base_); !s.is_ok()) {
    throw_status(info.Env(), s);
    return;
  }
  bytes_ = base_->bytes();
  napi_type_tag_object(info.Env(), info.This(), &kTag);
}

Napi::Value Weights::bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(bytes_));
}
void Weights::close(const Napi::CallbackInfo&) { base_.reset(); }

std::shared_ptr<const BaseWeights> read_weights(Napi::Value value) {
  Napi::Object object;
  if (!read_object(value, "weights", &object)) return nullptr;
  const Weights* weights = Weights::unwrap(object);
  if (weights == nullptr) {
    refuse(value.Env(), "weights", "a Weights object");
    return nullptr;
  }
  if (weights->base() == nullptr)
    throw_status(value.Env(), Status::error(Code::closed, "the weights are closed", "Open the model again."));
  return weights->base();
}

void init_weights(Napi::Env env, Napi::Object exports) { exports.Set("Weights", Weights::define(env)); }

}  // namespace oneround::bind
