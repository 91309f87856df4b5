#include "models/base_weights.h"

namespace oneround {

namespace {

constexpr int64_t kLargest = int64_t{1} << 31;

Status wrong(const std::string& found) {
  return Status::error(Code::malformed, found, "The model's files do not fit its configuration: fetch them again.");
}

struct Expected {
  std::string name;
  int64_t rows, cols;
};

std::vector<Expected> expected_tensors(const DecoderShape& s) {
  std::vector<Expected> list = {{"model.embed_tokens.weight", s.vocabulary, s.hidden}, {"model.norm.weight", 1, s.hidden}};
  if (!s.tied) list.push_back({"lm_head.weight", s.vocabulary, s.hidden});
  for (int64_t i = 0; i < s.layers; i++) {
    const std::string prefix = layer_prefix(i);
    list.push_back({prefix + "input_layernorm.weight", 1, s.hidden});
    list.push_back({prefix + "post_attention_layernorm.weight", 1, s.hidden});
    list.push_back({prefix + "self_attn.q_proj.weight", s.query_width(), s.hidden});
    list.push_back({prefix + "self_attn.k_proj.weight", s.kv_width(), s.hidden});
    list.push_back({prefix + "self_attn.v_proj.weight", s.kv_width(), s.hidden});
    list.push_back({prefix + "self_attn.o_proj.weight", s.hidden, s.query_width()});
    list.push_back({prefix + "mlp.gate_proj.weight", s.intermediate, s.hidden});
    list.push_back({prefix + "mlp.up_proj.weight", s.intermediate, s.hidden});
    list.push_back({prefix + "mlp.down_proj.weight", s.hidden, s.intermediate});
  }
  return list;
}

// Where the tensor lies, after checking that all of it does.
Status place(const Placement& p, const std::vector<std::shared_ptr<const MappedFile>>& files, Weight* out) {
  if (p.file < 0 || p.file >= static_cast<int64_t>(files.size())) return wrong(p.name + " names a file that is not there");
  if (p.rows < 1 || p.cols < 1 || p.rows > kLargest || p.cols > kLargest) return wrong(p.name + " has an impossible shape");
  if (p.cols % block_elements(p.type) != 0) return wrong(p.name + " has rows that are not whole quantisation blocks");
  if (p.interleaved_heads < 0 || (p.interleaved_heads > 0 && p.rows % (2 * p.interleaved_heads) != 0))
    return wrong(p.name + " has rows that its heads do not divide");
  const MappedFile& file = *files[static_cast<size_t>(p.file)];
  const int64_t row = row_bytes(p.type, p.cols);
  if (p.offset < 0 || p.offset > file.bytes() || p.rows > (file.bytes() - p.offset) / row)
    return wrong(p.name + " ends beyond its file");
  *out = {file.data() + p.offset, p.type, p.rows, p.cols, p.interleaved_heads};
  return Status::ok();
}

}  // namespace

std::string layer_prefix(int64_t layer) { return "model.layers." + std::to_string(layer) + "."; }

Status check_shape(const DecoderShape& s) {
  const int64_t sizes[] = {s.vocabulary, s.hidden, s.layers, s.heads, s.kv_heads, s.head_dim, s.intermediate};
  for (int64_t size : sizes)
    if (size < 1 || size > (1 << 24)) return wrong("a model dimension is " + std::to_string(size));
  if (s.heads % s.kv_heads != 0) return wrong("the heads are not a multiple of the key-value heads");
  if (s.heads > (1 << 16) || s.head_dim > (1 << 12) || s.layers > (1 << 12)) return wrong("a model dimension is too large");
  if (s.head_dim % 2 != 0) return wrong("head_dim is odd");
  if (static_cast<int64_t>(s.inverse_frequencies.size()) != s.head_dim / 2)
    return wrong("there are not head_dim / 2 inverse frequencies");
  for (double f : s.inverse_frequencies)
    if (!(f >= 0 && f <= 1e3)) return wrong("a rotary frequency is out of range");
  if (!(s.norm_epsilon >= 0)) return wrong("the norm's epsilon is negative");
  return Status::ok();
}

Status BaseWeights::open(DecoderShape shape, const std::vector<std::string>& files, const std::vector<Placement>& tensors,
                         std::shared_ptr<const BaseWeights>* out) {
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
    if (found->rows != e.rows || found->cols != e.cols)
      return wrong(e.name + " is " + std::to_string(found->rows) + " x " + std::to_string(found->cols) + ", expected " +
                   std::to_string(e.rows) + " x " + std::to_string(e.cols));
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
