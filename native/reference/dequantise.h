// Storage types to double, element by element from the raw bytes of a file (little-endian).
// Blocks of 32 as GGUF defines them (ggml-org/ggml, docs/gguf.md and block_q4_0 .. block_q8_0 in ggml-common.h); those
// of 256 are in k_blocks.h.
//   q4_0, q5_0: f16 scale, (q5: 32 fifth bits,) 16 bytes of nibbles; scale * (q - 8), scale * (q - 16)
//   q5_1: f16 scale, f16 minimum, 32 fifth bits, 16 bytes of nibbles; scale * q + minimum
//   q4_1: f16 scale, f16 minimum, 16 bytes; low nibbles are elements 0..15, high nibbles 16..31; scale * q + minimum
//   q8_0: f16 scale, 32 int8; scale * q
#pragma once

#include <cstdint>
#include <limits>

#include "engine/tensor_view.h"
#include "reference/grid.h"
#include "reference/half.h"
#include "reference/k_blocks.h"

namespace oneround::reference {

// Five bits (or four, without `high`) of element c of 32: nibbles as in q4_1, fifth bits one a bit of a little-endian
// word.
inline int nibble_and_bit(const uint8_t* nibbles, const uint8_t* high, int64_t c) {
  const int low = nibbles[c % 16] >> (c / 16 * 4) & 15;
  return high == nullptr ? low : low + 16 * (high[c / 8] >> (c % 8) & 1);
}

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
    case Type::q4_0: {
      const uint8_t* block = row + c / 32 * 18;
      return f16_to_double(read_u16(block)) * (nibble_and_bit(block + 2, nullptr, c % 32) - 8);
    }
    case Type::q5_0: {
      const uint8_t* block = row + c / 32 * 22;
      return f16_to_double(read_u16(block)) * (nibble_and_bit(block + 6, block + 2, c % 32) - 16);
    }
    case Type::q5_1: {
      const uint8_t* block = row + c / 32 * 24;
      return f16_to_double(read_u16(block)) * nibble_and_bit(block + 8, block + 4, c % 32) +
             f16_to_double(read_u16(block + 2));
    }
    case Type::q2_k:
      return q2_k_element(row + c / 256 * 84, c % 256);
    case Type::q3_k:
      return q3_k_element(row + c / 256 * 110, c % 256);
    case Type::q4_k:
      return q4_or_q5_k_element(false, row + c / 256 * 144, c % 256);
    case Type::q5_k:
      return q4_or_q5_k_element(true, row + c / 256 * 176, c % 256);
    case Type::q6_k:
      return q6_k_element(row + c / 256 * 210, c % 256);
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
