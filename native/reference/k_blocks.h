// Elements of GGUF's blocks of 256, from the layouts in ggml-common.h (ggml-org/ggml), each as one formula for element
// c of a block. Low bits of a K block lie as planes: element c of a half (128 elements) has its two bits at 2 * (c /
// 32).
#pragma once

#include <cstdint>

#include "reference/half.h"

namespace oneround::reference {

// Two bits of element c: qs[64], a half of 128 elements in 32 bytes.
inline int two_bits(const uint8_t* qs, int64_t c) { return qs[c / 128 * 32 + c % 32] >> (c % 128 / 32 * 2) & 3; }
// Four bits of element c: qs[128], 64 elements in 32 bytes, low nibbles first.
inline int four_bits(const uint8_t* qs, int64_t c) { return qs[c / 64 * 32 + c % 32] >> (c % 64 / 32 * 4) & 15; }

// 16 scales[16] (low nibble scale, high nibble minimum), qs[64], f16 d, f16 dmin: d scale q - dmin minimum
inline double q2_k_element(const uint8_t* block, int64_t c) {
  const int sub = block[c / 16];
  return f16_to_double(read_u16(block + 80)) * (sub & 15) * two_bits(block + 16, c) -
         f16_to_double(read_u16(block + 82)) * (sub >> 4);
}

// hmask[32], qs[64], scales[12], f16 d: d (scale - 32) (q - (high bit ? 0 : 4)). Scale j of 16 has its four low bits in
// byte j % 8 (low nibble for j < 8) and its two high bits in byte 8 + j % 4 at 2 * (j / 4).
inline double q3_k_element(const uint8_t* block, int64_t c) {
  const uint8_t* scales = block + 96;
  const int64_t j = c / 16;
  const int scale = (scales[j % 8] >> (j / 8 * 4) & 15) + 16 * (scales[8 + j % 4] >> (j / 4 * 2) & 3) - 32;
  const int high = block[c % 32] >> (c / 32) & 1;
  return f16_to_double(read_u16(block + 108)) * scale * (two_bits(block + 32, c) - (high ? 0 : 4));
}

struct ScaleAndMinimum {
  int scale, minimum;
};

// Eight pairs of 6 bits in 12 bytes: pairs 0..3 whole in bytes 0..3 and 4..7; pairs 4..7 have low bits in bytes 8..11
// and high bits above the first four pairs.
inline ScaleAndMinimum six_bit_pair(const uint8_t* bytes, int64_t j) {
  if (j < 4) return {bytes[j] & 63, bytes[j + 4] & 63};
  return {(bytes[j + 4] & 15) + 16 * (bytes[j - 4] >> 6), (bytes[j + 4] >> 4) + 16 * (bytes[j] >> 6)};
}

// f16 d, f16 dmin, 12 bytes of pairs, (five: qh[32], bit c / 32 of byte c % 32,) qs[128]: d scale q - dmin minimum
inline double q4_or_q5_k_element(bool five, const uint8_t* block, int64_t c) {
  const auto [scale, minimum] = six_bit_pair(block + 4, c / 32);
  int q = four_bits(block + (five ? 48 : 16), c);
  if (five) q += 16 * (block[16 + c % 32] >> (c / 32) & 1);
  return f16_to_double(read_u16(block)) * scale * q - f16_to_double(read_u16(block + 2)) * minimum;
}

// ql[128], qh[64], int8 scales[16], f16 d: d scale (q - 32). Of a half (128 elements): low nibbles of ql[0..63], then
// high nibbles; two high bits as planes in qh.
inline double q6_k_element(const uint8_t* block, int64_t c) {
  const int64_t half = c / 128, at = c % 128;
  const int low = block[64 * half + at % 64] >> (at / 64 * 4) & 15;
  const int high = two_bits(block + 128, c);
  return f16_to_double(read_u16(block + 208)) * static_cast<int8_t>(block[192 + c / 16]) * (low + 16 * high - 32);
}

}  // namespace oneround::reference
