// RMSNorm and LayerNorm of one row.
#include "kernels/kernel_set.h"
#include "kernels/row_loops.h"

namespace oneround::ONEROUND_ISA {

// y = x * weight / sqrt(mean(x^2) + epsilon)
float rms_norm(const float* x, const float* weight, float epsilon, int64_t count, float* y) {
  Vec squares = zero();
  for_vectors(count, [&](int64_t i, int64_t n) {
    const Vec v = get(x + i, n);
    squares = fma(v, v, squares);
  });
  const float inv_rms = 1.0f / __builtin_sqrtf(sum_lanes(squares) / static_cast<float>(count) + epsilon);
  rms_norm_again(x, weight, inv_rms, count, y);
  return inv_rms;
}

void rms_norm_again(const float* x, const float* weight, float inv_rms, int64_t count, float* y) {
  const Vec factor = set1(inv_rms);
  for_vectors(count, [&](int64_t i, int64_t n) { put(y + i, mul(mul(get(x + i, n), factor), get(weight + i, n)), n); });
}

// d_x += inv_rms * (w d_y) - x * inv_rms^3 * mean(w d_y x)
void rms_norm_backward(const float* x, const float* weight, float inv_rms, const float* d_y, int64_t count,
                       float* d_x) {
  Vec products = zero();
  for_vectors(count, [&](int64_t i, int64_t n) {
    products = fma(mul(get(weight + i, n), get(d_y + i, n)), get(x + i, n), products);
  });
  const float mean = sum_lanes(products) / static_cast<float>(count);
  const Vec along = set1(-mean * inv_rms * inv_rms * inv_rms), factor = set1(inv_rms);
  for_vectors(count, [&](int64_t i, int64_t n) {
    Vec d = fma(mul(get(weight + i, n), get(d_y + i, n)), factor, get(d_x + i, n));
    put(d_x + i, fma(along, get(x + i, n), d), n);
  });
}

// mean, then inv = 1 / sqrt(mean((x - mean)^2) + epsilon)
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, int64_t count, float* y,
                float* mean, float* inv) {
  Vec sum = zero(), squares = zero();
  for_vectors(count, [&](int64_t i, int64_t n) { sum = add(sum, get(x + i, n)); });
  *mean = sum_lanes(sum) / static_cast<float>(count);
  const Vec middle = set1(*mean);
  for_vectors(count, [&](int64_t i, int64_t n) {
    Vec d = sub(get(x + i, n), middle);
    // The padding of the last part is not x: it must not count as -mean.
    if (n != kWidth) {
      float part[kWidth];
      store(part, d);
      d = load_part(part, n);
    }
    squares = fma(d, d, squares);
  });
  *inv = 1.0f / __builtin_sqrtf(sum_lanes(squares) / static_cast<float>(count) + epsilon);
  layer_norm_again(x, weight, bias, *mean, *inv, count, y);
}

void layer_norm_again(const float* x, const float* weight, const float* bias, float mean, float inv, int64_t count,
                      float* y) {
  const Vec middle = set1(mean), factor = set1(inv);
  for_vectors(count, [&](int64_t i, int64_t n) {
    const Vec normal = mul(sub(get(x + i, n), middle), factor);
    put(y + i, fma(normal, get(weight + i, n), get(bias + i, n)), n);
  });
}

// With n = (x - mean) inv and g = w d_y: d_x += inv (g - mean(g) - n mean(g n))
void layer_norm_backward(const float* x, const float* weight, float mean, float inv, const float* d_y, int64_t count,
                         float* d_x) {
  const Vec middle = set1(mean), factor = set1(inv);
  Vec sum = zero(), products = zero();
  for_vectors(count, [&](int64_t i, int64_t n) {
    const Vec g = mul(get(weight + i, n), get(d_y + i, n));
    sum = add(sum, g);
    products = fma(g, mul(sub(get(x + i, n), middle), factor), products);
  });
  const Vec mean_g = set1(sum_lanes(sum) / static_cast<float>(count));
  const Vec mean_gn = set1(sum_lanes(products) / static_cast<float>(count));
  for_vectors(count, [&](int64_t i, int64_t n) {
    const Vec g = mul(get(weight + i, n), get(d_y + i, n)), normal = mul(sub(get(x + i, n), middle), factor);
    put(d_x + i, fma(factor, sub(sub(g, mean_g), mul(normal, mean_gn)), get(d_x + i, n)), n);
  });
}

}  // namespace oneround::ONEROUND_ISA
