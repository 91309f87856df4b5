#include <cmath>

#include "ops/cpu_context.h"
#include "ops/entries.h"

namespace oneround::ops {

namespace {

// Part of the arithmetic of squared_norm: blocks are summed in order.
constexpr int64_t kBlock = 1 << 16;

double power(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1, base *= base)
    if (exponent & 1) result *= base;
  return result;
}

}  // namespace

double squared_norm(void* self, const float* x, int64_t count) {
  CpuContext& context = cpu(self);
  double total = 0;
  constexpr int64_t kBatch = 64;
  for (int64_t start = 0; start < count; start += kBatch * kBlock) {
    double sums[kBatch] = {};
    const int64_t here = std::min(count - start, kBatch * kBlock);
    context.for_row_blocks(here, kBlock, [&](int64_t first, int64_t n, int) {
      sums[first / kBlock] = context.kernels.squared_norm(x + start + first, n);
    });
    for (double sum : sums) total += sum;
  }
  return total;
}

// p -= lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon), after p *= 1 - lr * weight_decay
void adamw(void* self, float* parameters, const float* gradient, float* first, float* second, int64_t count, AdamW o) {
  CpuContext& context = cpu(self);
  const double correction1 = 1 - power(o.beta1, o.step), correction2 = 1 - power(o.beta2, o.step);
  context.for_row_blocks(count, kBlock, [&](int64_t at, int64_t n, int) {
    context.kernels.adamw(parameters + at, gradient + at, first + at, second + at, n, static_cast<float>(o.beta1),
                          static_cast<float>(1 - o.beta1), static_cast<float>(o.beta2), static_cast<float>(1 - o.beta2),
                          static_cast<float>(o.learning_rate / correction1),
                          static_cast<float>(1 / std::sqrt(correction2)), static_cast<float>(o.epsilon),
                          static_cast<float>(1 - o.learning_rate * o.weight_decay),
                          static_cast<float>(o.gradient_scale));
  });
}

void sgd(void* self, float* parameters, const float* gradient, float* velocity, int64_t count, Sgd o) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(count, kBlock, [&](int64_t at, int64_t n, int) {
    context.kernels.sgd(parameters + at, gradient + at, velocity + at, n, static_cast<float>(o.learning_rate),
                        static_cast<float>(o.momentum), static_cast<float>(o.weight_decay), o.nesterov,
                        static_cast<float>(o.gradient_scale));
  });
}

}  // namespace oneround::ops
