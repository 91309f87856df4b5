// Keys (rotated) and values of every layer, for generation one token at a time.
#pragma once

#include <vector>

#include "engine/arena.h"
#include "engine/tensor_view.h"

namespace oneround {

struct KvCache {
  Arena memory;
  std::vector<Matrix> keys, values;  // a layer each: [capacity, Hkv*D]
  float* scores = nullptr;           // [H, capacity]
  int64_t capacity = 0;
  int64_t length = 0;  // tokens that are in

  static int64_t bytes(int64_t layers, int64_t capacity, int64_t kv_width, int64_t heads) {
    return (2 * layers * kv_width + heads) * capacity * static_cast<int64_t>(sizeof(float)) + 64 * (2 * layers + 2);
  }

  // False: not enough memory.
  bool reserve(int64_t layers, int64_t rows, int64_t kv_width, int64_t heads) {
    if (!memory.reserve(bytes(layers, rows, kv_width, heads))) return false;
    capacity = rows;
    for (int64_t i = 0; i < layers; i++) {
      keys.push_back(matrix(memory.take<float>(rows * kv_width), rows, kv_width));
      values.push_back(matrix(memory.take<float>(rows * kv_width), rows, kv_width));
    }
    scores = memory.take<float>(heads * rows);
    return true;
  }
};

}  // namespace oneround
