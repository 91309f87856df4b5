// A frozen base model: which tensor lies where in which mapped file. Shared by every session that uses it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/mapped_file.h"
#include "engine/status.h"
#include "engine/tensor_view.h"

namespace oneround {

// Where an architecture keeps its parts: Hugging Face's module names. A block's are relative to `block` + number + '.'.
struct ModuleNames {
  std::string embedding, positions, final_norm, head, block;
  std::string attention_norm, feed_norm, q, k, v, fused, o, q_norm, k_norm, gate, up, down;

  static ModuleNames llama();
  static ModuleNames gpt2();
  std::string block_prefix(int64_t layer) const { return block + std::to_string(layer) + "."; }
};

// An architecture as data: Llama, Mistral (window), Qwen2 (biases of q, k, v), Qwen3 (norms of q and k heads) and GPT-2
// (LayerNorm, learned positions, fused c_attn, GELU, biases everywhere) are values of this.
struct DecoderShape {
  int64_t vocabulary = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0;
  float norm_epsilon = 0;
  bool tied = false;
  bool layer_norm = false;       // else RMSNorm
  bool gelu = false;             // else SwiGLU with a gate
  bool fused_attention = false;  // one layer for q, k and v
  bool qkv_bias = false;
  bool other_bias = false;                  // o and the feed-forward layers
  bool query_key_norm = false;              // RMSNorm over each head of q and k, before the rotation
  int64_t window = 0;                       // keys that a query sees; 0: all
  int64_t learned_positions = 0;            // rows of the table; 0: rotary
  std::vector<double> inverse_frequencies;  // rotary: [head_dim / 2]
  ModuleNames names;

  int64_t query_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
  int64_t qkv_width() const { return query_width() + 2 * kv_width(); }
};
Status check_shape(const DecoderShape& shape);

struct Placement {
  std::string name;
  int64_t file = 0, offset = 0;
  Type type = Type::f32;
  int64_t rows = 1, cols = 0;  // as stored; a vector is one row
  int64_t interleaved_heads = 0;
  bool transposed = false;
};

class BaseWeights {
 public:
  // Maps the files and checks that every tensor of the shape is there, lies inside its file and has its shape.
  static Status open(DecoderShape shape, const std::vector<std::string>& files, const std::vector<Placement>& tensors,
                     std::shared_ptr<const BaseWeights>* out);

  const DecoderShape& shape() const { return shape_; }
  int64_t bytes() const { return bytes_; }
  // Null: no such tensor.
  const Weight* find(const std::string& name) const;

 private:
  DecoderShape shape_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::unordered_map<std::string, Weight> tensors_;
  int64_t bytes_ = 0;
};

}  // namespace oneround
