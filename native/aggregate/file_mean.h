// The weighted mean of many files of f32 numbers, mapped and read once: the mean, every tensor's norm and whether all
// is finite come from one pass at the speed of memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/status.h"

namespace oneround::aggregate {

struct FloatFile {
  std::string path;
  uint64_t offset = 0;  // of the first number, in bytes
  double weight = 0;
};

// `lengths`: numbers of each tensor; every file holds all tensors one behind another from its offset. Files that are
// shorter are refused before anything is read.
// mean [sum of lengths] = sum_f weight_f x_f in double, files in the order given; squares [files, tensors]: sums of
// squares, finite exactly where all numbers are.
Status mean_of_files(std::span<const FloatFile> files, std::span<const size_t> lengths, int threads,
                     std::span<float> mean, std::vector<double>* squares, const std::atomic<bool>& abort);

// The first `size` bytes of each file, one file behind another in `bytes` [paths.size(), size]; how many there are of
// each, or -1 of what cannot be read as a plain file.
void read_heads(std::span<const std::string> paths, size_t size, std::span<uint8_t> bytes, std::vector<double>* lengths,
                const std::atomic<bool>& abort);

}  // namespace oneround::aggregate
