// Keys (rotated) and values of every layer, for generation one token at a time, of one text or of several side by side.
#pragma once

#include <vector>

#include "engine/arena.h"
#include "engine/tensor_view.h"

namespace oneround {

struct KvCache {
  Arena memory;
  std::vector<Matrix> keys, values;  // a layer each: [sequences * capacity, Hkv*D]
  float* scores = nullptr;           // [H, capacity]
  int64_t capacity = 0;              // tokens of one sequence
  std::vector<int64_t> lengths;      // tokens that are in, by sequence

  static int64_t bytes(int64_t layers, int64_t sequences, int64_t capacity, int64_t kv_width, int64_t heads) {
    return (2 * layers * sequences * kv_width + heads) * capacity * static_cast<int64_t>(sizeof(float)) +
           64 * (2 * layers + 2);
  }

  // False: not enough memory.
  bool reserve(int64_t layers, int64_t sequences, int64_t rows, int64_t kv_width, int64_t heads) {
    if (!memory.reserve(bytes(layers, sequences, rows, kv_width, heads))) return false;
    capacity = rows;
    lengths.assign(static_cast<size_t>(sequences), 0);
    for (int64_t i = 0; i < layers; i++)
      for (std::vector<Matrix>* part : {&keys, &values})
        part->push_back(matrix(memory.take<float>(sequences * rows * kv_width), sequences * rows, kv_width));
    scores = memory.take<float>(heads * rows);
    return true;
  }

  int64_t& length(int64_t sequence) { return lengths[static_cast<size_t>(sequence)]; }
  // The first `count` rows of a sequence.
  Matrix keys_of(int64_t layer, int64_t sequence, int64_t count) const {
    return keys[static_cast<size_t>(layer)].slice_rows(sequence * capacity, count);
  }
  Matrix values_of(int64_t layer, int64_t sequence, int64_t count) const {
    return values[static_cast<size_t>(layer)].slice_rows(sequence * capacity, count);
  }
};

}  // namespace oneround
