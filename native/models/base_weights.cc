#include "models/base_weights.h"

namespace oneround {

namespace {

constexpr int64_t kLargest = int64_t{1} << 31;

Status wrong(const std::string& found) {
  return Status::error(Code::malformed, found, "The model's files do not fit its configuration: fetch them again.");
}

struct Expected {
  std::string name;
  int64_t out, in;
};

std::vector<Expected> expected_tensors(const DecoderShape& s) {
  const ModuleNames& n = s.names;
  std::vector<Expected> list = {{n.embedding + ".weight", s.vocabulary, s.hidden}};
  const auto linear = [&](const std::string& name, int64_t out, int64_t in, bool bias) {
    list.push_back({name + ".weight", out, in});
    if (bias) list.push_back({name + ".bias", 1, out});
  };
  const auto norm = [&](const std::string& name) {
    linear(name, 1, s.hidden, false);
    if (s.layer_norm) list.push_back({name + ".bias", 1, s.hidden});
  };
  if (s.learned_positions > 0) list.push_back({n.positions + ".weight", s.learned_positions, s.hidden});
  if (!s.tied) list.push_back({n.head + ".weight", s.vocabulary, s.hidden});
  norm(n.final_norm);
  for (int64_t i = 0; i < s.layers; i++) {
    const std::string prefix = n.block_prefix(i);
    norm(prefix + n.attention_norm);
    norm(prefix + n.feed_norm);
    if (s.fused_attention) {
      linear(prefix + n.fused, s.qkv_width(), s.hidden, s.qkv_bias);
    } else {
      linear(prefix + n.q, s.query_width(), s.hidden, s.qkv_bias);
      linear(prefix + n.k, s.kv_width(), s.hidden, s.qkv_bias);
      linear(prefix + n.v, s.kv_width(), s.hidden, s.qkv_bias);
    }
    if (s.query_key_norm) {
      list.push_back({prefix + n.q_norm + ".weight", 1, s.head_dim});
      list.push_back({prefix + n.k_norm + ".weight", 1, s.head_dim});
    }
    linear(prefix + n.o, s.hidden, s.query_width(), s.other_bias);
    if (!s.gelu) linear(prefix + n.gate, s.intermediate, s.hidden, s.other_bias);
    linear(prefix + n.up, s.intermediate, s.hidden, s.other_bias);
    linear(prefix + n.down, s.hidden, s.intermediate, s.other_bias);
  }
  return list;
}

// Where the tensor lies, after checking that all of it does.
Status place(const Placement& p, const std::vector<std::shared_ptr<const MappedFile>>& files, Weight* out) {
  if (p.file < 0 || p.file >= static_cast<int64_t>(files.size()))
    return wrong(p.name + " names a file that is not there");
  if (p.rows < 1 || p.cols < 1 || p.rows > kLargest || p.cols > kLargest)
    return wrong(p.name + " has an impossible shape");
  if (p.cols % block_elements(p.type) != 0) return wrong(p.name + " has rows that are not whole quantisation blocks");
  if (p.interleaved_heads < 0 || (p.interleaved_heads > 0 && p.rows % (2 * p.interleaved_heads) != 0))
    return wrong(p.name + " has rows that its heads do not divide");
  const MappedFile& file = *files[static_cast<size_t>(p.file)];
  const int64_t row = row_bytes(p.type, p.cols);
  if (p.offset < 0 || p.offset > file.bytes() || p.rows > (file.bytes() - p.offset) / row)
    return wrong(p.name + " ends beyond its file");
  *out = {file.data() + p.offset, p.type, p.rows, p.cols, p.interleaved_heads, p.transposed};
  return Status::ok();
}

}  // namespace

ModuleNames ModuleNames::llama() {
  ModuleNames n;
  n.embedding = "model.embed_tokens";
  n.final_norm = "model.norm";
  n.head = "lm_head";
  n.block = "model.layers.";
  n.attention_norm = "input_layernorm";
  n.feed_norm = "post_attention_layernorm";
  n.q = "self_attn.q_proj";
  n.k = "self_attn.k_proj";
  n.v = "self_attn.v_proj";
  n.o = "self_attn.o_proj";
  n.q_norm = "self_attn.q_norm";
  n.k_norm = "self_attn.k_norm";
  n.gate = "mlp.gate_proj";
  n.up = "mlp.up_proj";
  n.down = "mlp.down_proj";
  return n;
}

ModuleNames ModuleNames::gpt2() {
  ModuleNames n;
  n.embedding = "transformer.wte";
  n.positions = "transformer.wpe";
  n.final_norm = "transformer.ln_f";
  n.head = "lm_head";
  n.block = "transformer.h.";
  n.attention_norm = "ln_1";
  n.feed_norm = "ln_2";
  n.fused = "attn.c_attn";
  n.o = "attn.c_proj";
  n.up = "mlp.c_fc";
  n.down = "mlp.c_proj";
  return n;
}

Status check_shape(const DecoderShape& s) {
  const int64_t sizes[] = {s.vocabulary, s.hidden, s.layers, s.heads, s.kv_heads, s.head_dim, s.intermediate};
  for (int64_t size : sizes)
    if (size < 1 || size > (1 << 24)) return wrong("a model dimension is " + std::to_string(size));
  if (s.heads % s.kv_heads != 0) return wrong("the heads are not a multiple of the key-value heads");
  if (s.heads > (1 << 16) || s.head_dim > (1 << 12) || s.layers > (1 << 12))
    return wrong("a model dimension is too large");
  if (s.head_dim % 2 != 0) return wrong("head_dim is odd");
  if (s.window < 0 || s.learned_positions < 0 || s.learned_positions > (1 << 24))
    return wrong("a model dimension is out of range");
  if (s.fused_attention && s.heads != s.kv_heads) return wrong("fused attention with fewer key-value heads");
  if (s.learned_positions == 0 && static_cast<int64_t>(s.inverse_frequencies.size()) != s.head_dim / 2)
    return wrong("there are not head_dim / 2 inverse frequencies");
  for (double f : s.inverse_frequencies)
    if (!(f >= 0 && f <= 1e3)) return wrong("a rotary frequency is out of range");
  if (!(s.norm_epsilon >= 0)) return wrong("the norm's epsilon is negative");
  return Status::ok();
}

Status BaseWeights::open(DecoderShape shape, const std::vector<std::string>& files,
                         const std::vector<Placement>& tensors, std::shared_ptr<const BaseWeights>* out) {
  if (Status s = check_shape(shape); !s.is_ok()) return s;
  auto base = std::make_shared<BaseWeights>();
  for (const std::string& path : files) {
    std::shared_ptr<const MappedFile> file;
    if (Status s = MappedFile::open(path, &file); !s.is_ok()) return s;
    base->files_.push_back(std::move(file));
  }
  for (const Placement& p : tensors) {
    Weight weight;
    if (Status s = place(p, base->files_, &weight); !s.is_ok()) return s;
    if (!base->tensors_.emplace(p.name, weight).second) return wrong(p.name + " is there twice");
    base->bytes_ += weight.rows * row_bytes(weight.type, weight.cols);
  }
  for (const Expected& e : expected_tensors(shape)) {
    const Weight* found = base->find(e.name);
    if (found == nullptr) return wrong("the tensor " + e.name + " is missing");
    if (found->out() != e.out || found->in() != e.in)
      return wrong(e.name + " is " + std::to_string(found->out()) + " x " + std::to_string(found->in()) +
                   ", expected " + std::to_string(e.out) + " x " + std::to_string(e.in));
  }
  base->shape_ = std::move(shape);
  *out = std::move(base);
  return Status::ok();
}

const Weight* BaseWeights::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace oneround
