// Storage types to f32, sixteen elements at a time. Block layouts are ggml's (ggml-common.h); each is written beside
// its decoder. Scales are f16, so scale * q is exact in f32 for all but Q6_K, whose two products keep ggml's order.
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

// Q4_0 {f16 d, qs[16]}: d (q - 8). Q5_0 {f16 d, u32 high bits, qs[16]}: d (q - 16). Q5_1 {f16 d, f16 m, u32, qs[16]}: d
// q + m. Low nibbles are elements 0..15, high nibbles 16..31.
void block_of_32(int type, const uint8_t* row, int64_t i, float* out) {
  const int bytes = type == kQ4_0 ? 18 : type == kQ5_0 ? 22 : 24;
  const uint8_t* block = row + i / 32 * bytes;
  const bool upper = i % 32 != 0;
  const float d = half_to_float(read_u16(block));
  const float minimum = type == kQ5_1 ? half_to_float(read_u16(block + 2)) : 0.0f;
  const int zero_point = type == kQ4_0 ? 8 : type == kQ5_0 ? 16 : 0;
  const uint8_t* nibbles = block + bytes - 16;
  uint32_t high = 0;
  if (type != kQ4_0) std::memcpy(&high, nibbles - 4, 4);
  if (upper) high >>= 16;
  for (int l = 0; l < 16; l++) {
    const int q = (upper ? nibbles[l] >> 4 : nibbles[l] & 15) | static_cast<int>(high >> l & 1) << 4;
    const float scaled = d * static_cast<float>(q - zero_point);
    out[l] = type == kQ5_1 ? scaled + minimum : scaled;
  }
}

// {scales[16], qs[64], f16 d, f16 dmin}: chunk c of 16 has scale and minimum in scales[c]'s nibbles
void q2_k(const uint8_t* block, int c, float* out) {
  const float d = half_to_float(read_u16(block + 80)) * static_cast<float>(block[c] & 15);
  const float m = half_to_float(read_u16(block + 82)) * static_cast<float>(block[c] >> 4);
  const uint8_t* qs = block + 16 + 32 * (c / 8) + 16 * (c % 2);
  const int shift = c % 8 / 2 * 2;
  for (int l = 0; l < 16; l++) out[l] = d * static_cast<float>(qs[l] >> shift & 3) - m;
}

// {hmask[32], qs[64], scales[12], f16 d}: a 6-bit scale in two parts, a third bit of q in hmask (0: minus 4)
void q3_k(const uint8_t* block, int c, float* out) {
  const uint8_t* scales = block + 96;
  const int low = c < 8 ? scales[c] & 15 : scales[c - 8] >> 4, high = scales[8 + c % 4] >> (2 * (c / 4)) & 3;
  const float d = half_to_float(read_u16(block + 108)) * static_cast<float>((low | high << 4) - 32);
  const uint8_t* qs = block + 32 + 32 * (c / 8) + 16 * (c % 2);
  const uint8_t* mask = block + 16 * (c % 2);
  const int shift = c % 8 / 2 * 2;
  for (int l = 0; l < 16; l++) {
    const int q = (qs[l] >> shift & 3) - ((mask[l] >> (c / 2) & 1) != 0 ? 0 : 4);
    out[l] = d * static_cast<float>(q);
  }
}

// {f16 d, f16 dmin, scales[12], (Q5_K: qh[32],) qs[128]}: eight sub-blocks of 32 with 6-bit scale and minimum
void q4_k_or_q5_k(bool five, const uint8_t* block, int c, float* out) {
  const uint8_t* s = block + 4;
  const int sub = c / 2;
  const int scale = sub < 4 ? s[sub] & 63 : (s[sub + 4] & 15) | (s[sub - 4] >> 6) << 4;
  const int minimum = sub < 4 ? s[sub + 4] & 63 : s[sub + 4] >> 4 | (s[sub] >> 6) << 4;
  const float d = half_to_float(read_u16(block)) * static_cast<float>(scale);
  const float m = half_to_float(read_u16(block + 2)) * static_cast<float>(minimum);
  const uint8_t* qs = block + (five ? 48 : 16) + 32 * (sub / 2) + 16 * (c % 2);
  const uint8_t* high = block + 16 + 16 * (c % 2);
  for (int l = 0; l < 16; l++) {
    int q = sub % 2 != 0 ? qs[l] >> 4 : qs[l] & 15;
    if (five) q |= (high[l] >> sub & 1) << 4;
    out[l] = d * static_cast<float>(q) - m;
  }
}

// {ql[128], qh[64], int8 scales[16], f16 d}: 4 low bits in ql, 2 high bits in qh, minus 32
void q6_k(const uint8_t* block, int c, float* out) {
  const int which = c % 8 / 2, at = 16 * (c % 2);
  const uint8_t* ql = block + 64 * (c / 8) + 32 * (which % 2) + at;
  const uint8_t* qh = block + 128 + 32 * (c / 8) + at;
  const float d = half_to_float(read_u16(block + 208)) * static_cast<float>(static_cast<int8_t>(block[192 + c]));
  for (int l = 0; l < 16; l++) {
    const int q = (which < 2 ? ql[l] & 15 : ql[l] >> 4) | (qh[l] >> (2 * which) & 3) << 4;
    out[l] = d * static_cast<float>(q - 32);
  }
}

// Sixteen elements at a multiple of 16, of the types without a decoder of their own for this set.
void block_chunk(int type, const uint8_t* row, int64_t i, float* out) {
  const int64_t block = i / 256;
  const int c = static_cast<int>(i % 256 / 16);
  switch (type) {
    case kQ2_K:
      return q2_k(row + block * 84, c, out);
    case kQ3_K:
      return q3_k(row + block * 110, c, out);
    case kQ4_K:
      return q4_k_or_q5_k(false, row + block * 144, c, out);
    case kQ5_K:
      return q4_k_or_q5_k(true, row + block * 176, c, out);
    case kQ6_K:
      return q6_k(row + block * 210, c, out);
    default:
      return block_of_32(type, row, i, out);
  }
}

float element(int type, const uint8_t* row, int64_t i) {
  switch (type) {
    case kF32: {
      float v;
      std::memcpy(&v, row + i * 4, 4);
      return v;
    }
    case kF16:
      return half_to_float(read_u16(row + i * 2));
    case kBF16:
      return bfloat_to_float(read_u16(row + i * 2));
    case kQ4_1: {
      const uint8_t* block = row + i / 32 * 20;
      const int at = static_cast<int>(i % 32);
      const int q = at < 16 ? block[4 + at] & 15 : block[4 + at - 16] >> 4;
      return half_to_float(read_u16(block)) * static_cast<float>(q) + half_to_float(read_u16(block + 2));
    }
    case kQ8_0: {
      const uint8_t* block = row + i / 32 * 34;
      return half_to_float(read_u16(block)) * static_cast<float>(static_cast<int8_t>(block[2 + i % 32]));
    }
    default: {
      float chunk[16];
      block_chunk(type, row, i / 16 * 16, chunk);
      return chunk[i % 16];
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
    case kQ8_0: {
      const uint8_t* block = row + i / 32 * 34;
      const __m256 scale = _mm256_set1_ps(half_to_float(read_u16(block)));
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 2 + i % 32));
      _mm256_storeu_ps(out, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))));
      _mm256_storeu_ps(out + 8,
                       _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))));
      return;
    }
    default:
      block_chunk(type, row, i, out);
  }
}

#if defined(ONEROUND_ISA_AVX512)
inline Vec from_unsigned(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)); }
inline Vec from_signed(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)); }
inline __m128i upper(__m128i bytes) { return bytes; }
#else
inline Vec from_unsigned(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)); }
inline Vec from_signed(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)); }
inline __m128i upper(__m128i bytes) { return _mm_srli_si128(bytes, 8); }
#endif

// {f16 d, f16 m, qs[16]}: d q + m; low nibbles are elements 0..15, high nibbles 16..31
inline void q4_1_block(const uint8_t* block, float* out) {
  const Vec scale = set1(half_to_float(read_u16(block))), minimum = set1(half_to_float(read_u16(block + 2)));
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 4)), four = _mm_set1_epi8(15);
  const __m128i nibbles[2] = {_mm_and_si128(bytes, four), _mm_and_si128(_mm_srli_epi16(bytes, 4), four)};
  for (int half = 0; half < 2; half++) {
    float* to = out + 16 * half;
    store(to, fma(scale, from_unsigned(nibbles[half]), minimum));
    if (kWidth == 8) store(to + 8, fma(scale, from_unsigned(upper(nibbles[half])), minimum));
  }
}

// {f16 d, int8 qs[32]}: d q
inline void q8_0_block(const uint8_t* block, float* out) {
  const Vec scale = set1(half_to_float(read_u16(block)));
  for (int half = 0; half < 2; half++) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 2 + 16 * half));
    float* to = out + 16 * half;
    store(to, mul(scale, from_signed(bytes)));
    if (kWidth == 8) store(to + 8, mul(scale, from_signed(upper(bytes))));
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
  if (first % 16 == 0) {
#if defined(ONEROUND_ISA_AVX512) || defined(ONEROUND_ISA_AVX2)
    if (first % 32 == 0 && type == kQ4_1)
      for (; done + 32 <= count; done += 32) q4_1_block(row + (first + done) / 32 * 20, out + done);
    if (first % 32 == 0 && type == kQ8_0)
      for (; done + 32 <= count; done += 32) q8_0_block(row + (first + done) / 32 * 34, out + done);
    for (; done + 16 <= count; done += 16) sixteen(type, row, first + done, out + done);
#else
    if (type >= kQ4_0)
      for (; done + 16 <= count; done += 16) block_chunk(type, row, first + done, out + done);
#endif
  }
  for (; done < count; done++) out[done] = element(type, row, first + done);
}

}  // namespace oneround::ONEROUND_ISA
