// Double to storage types, to make test data: nearest values, no cleverness.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "engine/tensor_view.h"
#include "reference/dequantise.h"
#include "reference/grid.h"

namespace oneround::reference {

// Nearest binary16, ties to even; |value| must be below 65520.
inline uint16_t double_to_f16(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  if (magnitude < std::ldexp(1.0, -14)) {
    return static_cast<uint16_t>(sign | static_cast<int>(std::nearbyint(std::ldexp(magnitude, 24))));
  }
  int exponent;
  const double fraction = std::frexp(magnitude, &exponent);                     // [0.5, 1)
  const int bits = static_cast<int>(std::nearbyint(std::ldexp(fraction, 11)));  // 1024..2048; 2048 carries upwards
  return static_cast<uint16_t>(sign | (((exponent + 14) << 10) + bits - 1024));
}

// Nearest bf16 of a float, ties to even; value must be finite.
inline uint16_t double_to_bf16(double value) {
  const float narrow = static_cast<float>(value);
  uint32_t bits;
  std::memcpy(&bits, &narrow, 4);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline void write_u16(uint8_t* at, uint16_t bits) {
  at[0] = static_cast<uint8_t>(bits & 255);
  at[1] = static_cast<uint8_t>(bits >> 8);
}

inline void quantise_q4_1(const double* x, uint8_t* block) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  write_u16(block, double_to_f16((*high - *low) / 15));
  write_u16(block + 2, double_to_f16(*low));
  const double scale = f16_to_double(read_u16(block)), minimum = f16_to_double(read_u16(block + 2));
  for (int i = 0; i < 16; i++) {
    int q[2];
    for (int half = 0; half < 2; half++) {
      const double level = scale == 0 ? 0 : std::nearbyint((x[i + 16 * half] - minimum) / scale);
      q[half] = static_cast<int>(std::clamp(level, 0.0, 15.0));
    }
    block[4 + i] = static_cast<uint8_t>(q[0] | q[1] << 4);
  }
}

inline void quantise_q8_0(const double* x, uint8_t* block) {
  double largest = 0;
  for (int i = 0; i < 32; i++) largest = std::max(largest, std::fabs(x[i]));
  write_u16(block, double_to_f16(largest / 127));
  const double scale = f16_to_double(read_u16(block));
  for (int i = 0; i < 32; i++) {
    const double level = scale == 0 ? 0 : std::nearbyint(x[i] / scale);
    block[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::clamp(level, -127.0, 127.0)));
  }
}

// Where a block's f16 scales lie, and a size for each with which random bits in the rest mean numbers around one.
struct BlockScales {
  int at, second_at;  // -1: none
  double size, second_size;
};

inline BlockScales block_scales(Type type) {
  switch (type) {
    case Type::q4_0:
      return {0, -1, 0.2, 0};
    case Type::q5_0:
      return {0, -1, 0.1, 0};
    case Type::q5_1:
      return {0, 2, 0.1, -1.5};
    case Type::q2_k:
      return {80, 82, 0.09, 0.13};
    case Type::q3_k:
      return {108, -1, 0.025, 0};
    case Type::q4_k:
      return {0, 2, 0.004, 0.03};
    case Type::q5_k:
      return {0, 2, 0.002, 0.03};
    case Type::q6_k:
      return {208, -1, 0.0008, 0};
    default:
      return {-1, -1, 0, 0};
  }
}

// Bytes of a matrix of blocks whose bits are random, all but the scales; `next` gives 64 random bits. Any bits are a
// valid block, and a quantiser would reach fewer of them.
template <typename Next>
std::vector<uint8_t> random_blocks(Type type, int64_t rows, int64_t cols, Next next) {
  std::vector<uint8_t> bytes(static_cast<size_t>(rows * row_bytes(type, cols)));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(next() >> 56);
  const BlockScales scales = block_scales(type);
  const auto size = [&](double of) { return of * (0.5 + static_cast<double>(next() >> 40) * 0x1p-24); };
  for (size_t i = 0; i < bytes.size(); i += static_cast<size_t>(block_bytes(type))) {
    write_u16(&bytes[i + static_cast<size_t>(scales.at)], double_to_f16(size(scales.size)));
    if (scales.second_at >= 0) {
      write_u16(&bytes[i + static_cast<size_t>(scales.second_at)], double_to_f16(size(scales.second_size)));
    }
  }
  return bytes;
}

// The bytes of a matrix as a file of that type holds them; cols a multiple of the type's block.
inline std::vector<uint8_t> quantise(Type type, const Grid<double>& x) {
  std::vector<uint8_t> bytes(static_cast<size_t>(x.rows * row_bytes(type, x.cols)));
  uint8_t* out = bytes.data();
  const int64_t block = block_elements(type);
  for (size_t i = 0; i < x.data.size(); i += static_cast<size_t>(block), out += block_bytes(type)) {
    const double* from = x.data.data() + i;
    switch (type) {
      case Type::f16:
        write_u16(out, double_to_f16(*from));
        break;
      case Type::bf16:
        write_u16(out, double_to_bf16(*from));
        break;
      case Type::q4_1:
        quantise_q4_1(from, out);
        break;
      case Type::q8_0:
        quantise_q8_0(from, out);
        break;
      default: {  // f32; the other blocks come from random_blocks
        const float narrow = static_cast<float>(*from);
        std::memcpy(out, &narrow, 4);
        break;
      }
    }
  }
  return bytes;
}

}  // namespace oneround::reference
