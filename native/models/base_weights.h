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

struct DecoderShape {
  int64_t vocabulary = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0;
  float norm_epsilon = 0;
  bool tied = false;
  std::vector<double> inverse_frequencies;  // [head_dim / 2]

  int64_t query_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
};
Status check_shape(const DecoderShape& shape);

struct Placement {
  std::string name;
  int64_t file = 0, offset = 0;
  Type type = Type::f32;
  int64_t rows = 1, cols = 0;  // a vector is one row
  int64_t interleaved_heads = 0;
};

// Names are Hugging Face's; `layer` names lack `.weight`.
std::string layer_prefix(int64_t layer);

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
