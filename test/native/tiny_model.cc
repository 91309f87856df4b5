#include "tiny_model.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "test_data.h"

namespace oneround::test {

TinyModel tiny_model(int64_t layers) {
  static std::atomic<int> made{0};
  TinyModel model;
  DecoderShape& s = model.shape;
  s.vocabulary = 7;
  s.hidden = 32;
  s.layers = layers;
  s.heads = 4;
  s.kv_heads = 2;
  s.head_dim = 8;
  s.intermediate = 64;
  s.norm_epsilon = 1e-5f;
  s.tied = true;
  s.inverse_frequencies = {1, 0.1, 0.01, 0.001};
  s.names = ModuleNames::llama();
  const auto add = [&](const std::string& name, int64_t rows, int64_t cols) {
    model.tensors.push_back({name, 0, model.bytes, Type::f32, rows, cols, 0, false});
    model.bytes += rows * cols * 4;
  };
  add("model.embed_tokens.weight", 7, 32);
  add("model.norm.weight", 1, 32);
  for (int64_t layer = 0; layer < layers; layer++) {
    const std::string block = s.names.block_prefix(layer);
    add(block + "input_layernorm.weight", 1, 32);
    add(block + "post_attention_layernorm.weight", 1, 32);
    add(block + "self_attn.q_proj.weight", 32, 32);
    add(block + "self_attn.k_proj.weight", 16, 32);
    add(block + "self_attn.v_proj.weight", 16, 32);
    add(block + "self_attn.o_proj.weight", 32, 32);
    add(block + "mlp.gate_proj.weight", 64, 32);
    add(block + "mlp.up_proj.weight", 64, 32);
    add(block + "mlp.down_proj.weight", 32, 64);
  }
  Random random(1);
  std::vector<float> values(static_cast<size_t>(model.bytes / 4));
  for (float& value : values) value = static_cast<float>(0.2 * random.normal());
  const std::string name = "oneround-weights-" + std::to_string(::getpid()) + "-" + std::to_string(made++);
  model.path = (std::filesystem::temp_directory_path() / name).string();
  std::ofstream(model.path, std::ios::binary)
      .write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(model.bytes));
  return model;
}

}  // namespace oneround::test
