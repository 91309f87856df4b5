// A whole tiny Llama in one file of seeded f32 weights, and a place for each of its tensors.
#pragma once

#include <string>
#include <vector>

#include "models/base_weights.h"

namespace oneround::test {

struct TinyModel {
  DecoderShape shape;
  std::vector<Placement> tensors;
  std::string path;  // the file; whoever asked for the model removes it
  int64_t bytes = 0;
};

TinyModel tiny_model(int64_t layers = 1);

}  // namespace oneround::test
