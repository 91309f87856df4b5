// Storage types to double, element by element from the raw bytes of a file (little-endian).
// f16: IEEE 754 binary16. bf16: the upper half of a binary32. Blocks as GGUF defines them
// (ggml-org/ggml, docs/gguf.md and block_q4_1, block_q8_0 in ggml-common.h):
//   q4_1: f16 scale, f16 minimum, 16 bytes; low nibbles are elements 0..15, high nibbles 16..31; scale * q + minimum
//   q8_0: f16 scale, 32 int8; scale * q
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "engine/tensor_view.h"
#include "reference/grid.h"

namespace oneround::reference {

inline uint16_t read_u16(const uint8_t* bytes) { return static_cast<uint16_t>(bytes[0] | bytes[1] << 8); }

inline double f16_to_double(uint16_t bits) {
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  if (exponent == 31) {
    return fraction ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  }
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

inline double f32_to_double(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline double bf16_to_double(uint16_t bits) { return f32_to_double(static_cast<uint32_t>(bits) << 16); }

// Element c of a stored row.
inline double stored_element(Type type, const uint8_t* row, int64_t c) {
  switch (type) {
    case Type::f32: {
      const uint8_t* at = row + 4 * c;
      return f32_to_double(static_cast<uint32_t>(read_u16(at)) | static_cast<uint32_t>(read_u16(at + 2)) << 16);
    }
    case Type::f16:
      return f16_to_double(read_u16(row + 2 * c));
    case Type::bf16:
      return bf16_to_double(read_u16(row + 2 * c));
    case Type::q4_1: {
      const uint8_t* block = row + c / 32 * 20;
      const int64_t i = c % 32;
      const int q = i < 16 ? block[4 + i] & 15 : block[4 + i - 16] >> 4;
      return f16_to_double(read_u16(block)) * q + f16_to_double(read_u16(block + 2));
    }
    case Type::q8_0: {
      const uint8_t* block = row + c / 32 * 34;
      return f16_to_double(read_u16(block)) * static_cast<int8_t>(block[2 + c % 32]);
    }
    case Type::i32:
      break;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

// A stored matrix in the order of its file.
inline Grid<double> dequantise(Type type, const uint8_t* bytes, int64_t rows, int64_t cols) {
  Grid<double> out(rows, cols);
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < cols; c++) out(r, c) = stored_element(type, bytes + r * row_bytes(type, cols), c);
  }
  return out;
}

// From llama.cpp's order of rows to Hugging Face's: [heads, half, 2] in the file becomes [heads, 2, half].
inline Grid<double> undo_interleaving(const Grid<double>& file, int64_t heads) {
  Grid<double> out(file.rows, file.cols);
  const int64_t half = file.rows / heads / 2;
  int64_t from = 0;
  for (int64_t h = 0; h < heads; h++) {
    for (int64_t i = 0; i < half; i++) {
      for (int64_t p = 0; p < 2; p++, from++) {
        for (int64_t c = 0; c < file.cols; c++) out((h * 2 + p) * half + i, c) = file(from, c);
      }
    }
  }
  return out;
}

}  // namespace oneround::reference
