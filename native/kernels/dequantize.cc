// Storage types to f32. Block layouts: ggml's Q4_1 {f16 scale, f16 minimum, 16 bytes: low nibbles are elements 0..15,
// high nibbles 16..31} and Q8_0 {f16 scale, 32 int8}. scale * q is exact in f32 (11 + 8 bits), so fused or not is the same.
#include <cstring>

#include "kernels/kernel_set.h"
#include "kernels/storage_type.h"
#include "kernels/vector.h"

namespace oneround::ONEROUND_ISA {

namespace {

float half_to_float(uint16_t h) {
#if defined(ONEROUND_ISA_AVX512) || defined(ONEROUND_ISA_AVX2)
  return _cvtsh_ss(h);
#else
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, exponent = (h >> 10) & 0x1f, mantissa = h & 0x3ff;
  uint32_t bits;
  if (exponent == 0x1f) {
    bits = sign | 0x7f800000u | (mantissa << 13);
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  } else {
    const float value = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // 2^-24
    std::memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
#endif
}

uint16_t read_u16(const uint8_t* p) {
  uint16_t v;
  std::memcpy(&v, p, 2);
  return v;
}

float bfloat_to_float(uint16_t b) {
  const uint32_t bits = static_cast<uint32_t>(b) << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

float element(int type, const uint8_t* row, int64_t i) {
  switch (type) {
    case kF32: {
      float v;
      std::memcpy(&v, row + i * 4, 4);
      return v;
    }
    case kF16: return half_to_float(read_u16(row + i * 2));
    case kBF16: return bfloat_to_float(read_u16(row + i * 2));
    case kQ4_1: {
      const uint8_t* block = row + i / 32 * 20;
      const int at = static_cast<int>(i % 32);
      const int q = at < 16 ? block[4 + at] & 15 : block[4 + at - 16] >> 4;
      return half_to_float(read_u16(block)) * static_cast<float>(q) + half_to_float(read_u16(block + 2));
    }
    default: {  // kQ8_0
      const uint8_t* block = row + i / 32 * 34;
      return half_to_float(read_u16(block)) * static_cast<float>(static_cast<int8_t>(block[2 + i % 32]));
    }
  }
}

#if defined(ONEROUND_ISA_AVX512) || defined(ONEROUND_ISA_AVX2)

// 16 elements at a multiple of 16
void sixteen(int type, const uint8_t* row, int64_t i, float* out) {
  switch (type) {
    case kF16: {
      const uint8_t* p = row + i * 2;
      _mm256_storeu_ps(out, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
      _mm256_storeu_ps(out + 8, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16))));
      return;
    }
    case kBF16: {
      const uint8_t* p = row + i * 2;
      for (int half = 0; half < 2; half++) {
        const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * half)));
        _mm256_storeu_ps(out + 8 * half, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
      }
      return;
    }
    case kQ4_1: {
      const uint8_t* block = row + i / 32 * 20;
      const __m256 scale = _mm256_set1_ps(half_to_float(read_u16(block)));
      const __m256 minimum = _mm256_set1_ps(half_to_float(read_u16(block + 2)));
      __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 4));
      if (i % 32 == 16) bytes = _mm_srli_epi16(bytes, 4);
      bytes = _mm_and_si128(bytes, _mm_set1_epi8(15));
      const __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
      const __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)));
      _mm256_storeu_ps(out, _mm256_fmadd_ps(scale, low, minimum));
      _mm256_storeu_ps(out + 8, _mm256_fmadd_ps(scale, high, minimum));
      return;
    }
    default: {  // kQ8_0
      const uint8_t* block = row + i / 32 * 34;
      const __m256 scale = _mm256_set1_ps(half_to_float(read_u16(block)));
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 2 + i % 32));
      _mm256_storeu_ps(out, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))));
      _mm256_storeu_ps(out + 8, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))));
      return;
    }
  }
}

#endif

}  // namespace

void dequantize(int type, const uint8_t* row, int64_t first, int64_t count, float* out) {
  if (type == kF32) {
    std::memcpy(out, row + first * 4, static_cast<size_t>(count) * 4);
    return;
  }
  int64_t done = 0;
#if defined(ONEROUND_ISA_AVX512) || defined(ONEROUND_ISA_AVX2)
  if (first % 16 == 0)
    for (; done + 16 <= count; done += 16) sixteen(type, row, first + done, out + done);
#endif
  for (; done < count; done++) out[done] = element(type, row, first + done);
}

}  // namespace oneround::ONEROUND_ISA
