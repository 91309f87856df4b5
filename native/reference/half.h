// Little-endian words, IEEE 754 binary16 and bfloat16 (the upper half of a binary32) to double.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

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

}  // namespace oneround::reference
