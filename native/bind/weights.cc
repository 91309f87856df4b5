#include "bind/weights.h"

#include <numeric>
#include <vector>

#include "bind/job.h"
#include "bind/values.h"
#include "ops/cpu_backend.h"

namespace oneround::bind {

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

namespace {

constexpr size_t kMost = size_t{1} << 24;

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
// Some rows of a stored tensor as f32, in Hugging Face's order.
class ReadJob : public Job {
 public:
  ReadJob(std::shared_ptr<const BaseWeights> base, const Weight& weight, size_t first, size_t count)
      : base_(std::move(base)), weight_(weight), ids_(count), values_(count * static_cast<size_t>(weight.cols)) {
    std::iota(ids_.begin(), ids_.end(), static_cast<int32_t>(first));
  }

  Status run(const std::atomic<bool>&) override {
    const std::unique_ptr<CpuBackend> backend = CpuBackend::create(1, nullptr);
    if (backend == nullptr)
      return Status::error(Code::unsupported, "this machine lacks the instruction set asked for",
                           "Unset ONEROUND_ISA.");
    const auto rows = static_cast<int64_t>(ids_.size());
    backend->table().embed(backend->table().self, ids_.data(), weight_, matrix(values_.data(), rows, weight_.cols));
    return Status::ok();
  }
  Napi::Value result(Napi::Env env) override { return to_float32(env, values_); }

 private:
  std::shared_ptr<const BaseWeights> base_;  // keeps the mapping
  Weight weight_;
  std::vector<int32_t> ids_;
  std::vector<float> values_;
};

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
                     {InstanceAccessor<&Weights::bytes>("bytes"), InstanceMethod<&Weights::read>("read"),
                      InstanceMethod<&Weights::close>("close")});
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

Napi::Value Weights::read(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string name;
  size_t first, count;
  if (!read_string(info[0], "tensor", &name)) return env.Undefined();
  if (base_ == nullptr) {
    throw_status(env, Status::error(Code::closed, "the weights were closed", "Open the model again."));
    return env.Undefined();
  }
  const Weight* weight = base_->find(name);
  if (weight == nullptr) {
    throw_status(env, Status::error(Code::argument, "the base has no tensor " + name, "Take a name of its spec."));
    return env.Undefined();
  }
  const auto rows = static_cast<size_t>(weight->rows);
  if (!read_size(info[1], "first", 0, rows, &first) || !read_size(info[2], "count", 0, rows - first, &count))
    return env.Undefined();
  std::unique_ptr<Job> job;
  try {
    job = std::make_unique<ReadJob>(base_, *weight, first, count);
  } catch (const std::bad_alloc&) {
    throw_status(env, Status::error(Code::memory, "the rows do not fit in memory", "Read fewer rows at once."));
    return env.Undefined();
  }
  return JobThread::start(env, std::move(job));
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
