#include "convert/encode.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace oneround::convert {

namespace {

constexpr uint32_t kSign = 0x80000000u;
constexpr uint32_t kInfinity = 0x7f800000u;
// The least f32 that rounds to an f16 infinity: half a step above 65504.
constexpr uint32_t kHalfOverflow = 0x477ff000u;
// The least f32 that is a normal f16, 2^-14.
constexpr uint32_t kHalfNormal = 0x38800000u;

uint16_t to_bfloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & ~kSign) > kInfinity) return static_cast<uint16_t>(bits >> 16 | 64);  // a quiet NaN
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

uint16_t to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & ~kSign;
  const uint32_t sign = bits >> 16 & 0x8000;
  uint32_t half;
  if (magnitude >= kHalfOverflow) {
    half = magnitude > kInfinity ? 0x7e00u : 0x7c00u;
  } else if (magnitude >= kHalfNormal) {
    // Rebias the exponent by 112 and round the 13 lower bits away; a carry rightly runs into the exponent.
    const uint32_t rebased = magnitude - (112u << 23);
    half = (rebased + 0xfff + (rebased >> 13 & 1)) >> 13;
  } else {
    // Subnormal: adding 0.5 puts the unit in the last place at 2^-24, and the sum rounds to nearest even.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - std::bit_cast<uint32_t>(0.5f);
  }
  return static_cast<uint16_t>(sign | half);
}

bool is_half_infinity(uint16_t half) { return (half & 0x7fff) == 0x7c00; }

void write_u16(uint8_t* at, uint16_t bits) { std::memcpy(at, &bits, 2); }

int64_t q8_0_block(const float* x, uint8_t* block) {
  float largest = 0;
  for (int i = 0; i < 32; i++) {
    const float magnitude = std::fabs(x[i]);
    if (magnitude > largest) largest = magnitude;
  }
  const float d = largest / 127, inverse = d != 0 ? 1.0f / d : 0.0f;
  const uint16_t scale = to_half(d);
  write_u16(block, scale);
  for (int i = 0; i < 32; i++) {
    const float level = x[i] * inverse;
    // |level| is at most 127 and a bit: adding a half with its sign and cutting is roundf without a call
    const float away = std::trunc(level);
    const float rest = level - away;
    const int q = static_cast<int>(away) + (rest >= 0.5f ? 1 : rest <= -0.5f ? -1 : 0);
    block[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(q));
  }
  return is_half_infinity(scale) ? 1 : 0;
}

}  // namespace

int64_t encode(Type type, const float* x, int64_t count, uint8_t* out) {
  int64_t overflows = 0;
  switch (type) {
    case Type::bf16:
      for (int64_t i = 0; i < count; i++) {
        const uint16_t bits = to_bfloat(x[i]);
        overflows += (bits & 0x7fff) == 0x7f80 && std::isfinite(x[i]) ? 1 : 0;
        write_u16(out + 2 * i, bits);
      }
      break;
    case Type::f16:
      for (int64_t i = 0; i < count; i++) {
        const uint16_t bits = to_half(x[i]);
        overflows += is_half_infinity(bits) && std::isfinite(x[i]) ? 1 : 0;
        write_u16(out + 2 * i, bits);
      }
      break;
    case Type::q8_0:
      for (int64_t i = 0; i < count; i += 32) overflows += q8_0_block(x + i, out + i / 32 * 34);
      break;
    default:
      std::memcpy(out, x, static_cast<size_t>(count) * 4);
  }
  return overflows;
}

}  // namespace oneround::convert
