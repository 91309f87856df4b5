// Picks an instruction set by cpuid and by what the operating system saves (XCR0).
#include <cstring>

#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace oneround {

#if !defined(__x86_64__)
const Kernels* kernels_avx2() { return nullptr; }
const Kernels* kernels_avx512() { return nullptr; }
const Kernels* kernels_avx512bf16() { return nullptr; }
#endif

namespace {

struct Features {
  bool avx2 = false;
  bool avx512 = false;
  bool avx512bf16 = false;
};

#if defined(__x86_64__)
uint64_t read_xcr0() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

Features detect() {
  Features f;
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  const bool osxsave = c & (1u << 27), fma = c & (1u << 12), f16c = c & (1u << 29);
  if (!osxsave || !fma || !f16c) return f;
  const uint64_t xcr0 = read_xcr0();
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  f.avx2 = (xcr0 & 0x6) == 0x6 && (b & (1u << 5));
  const uint32_t avx512_f_dq_bw_vl = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);
  f.avx512 = f.avx2 && (xcr0 & 0xe6) == 0xe6 && (b & avx512_f_dq_bw_vl) == avx512_f_dq_bw_vl;
  const bool has_bf16 = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
  f.avx512bf16 = f.avx512 && has_bf16;
  return f;
}
#else
Features detect() { return {}; }
#endif

}  // namespace

int available_kernels(const char* names[kKernelSets]) {
  const Features f = detect();
  int count = 0;
  names[count++] = "scalar";
  if (f.avx2) names[count++] = "avx2";
  if (f.avx512) names[count++] = "avx512";
  if (f.avx512bf16) names[count++] = "avx512bf16";
  return count;
}

const Kernels* select_kernels(const char* forced) {
  const Kernels* (*const sets[kKernelSets])() = {kernels_scalar, kernels_avx2, kernels_avx512, kernels_avx512bf16};
  const char* names[kKernelSets];
  const int count = available_kernels(names);
  const char* wanted = forced == nullptr ? names[count - 1] : forced;
  for (int i = 0; i < count; i++)
    if (std::strcmp(names[i], wanted) == 0) return sets[i]();
  return nullptr;
}

}  // namespace oneround
