// Elementwise operations and reductions on one row.
#include <cmath>

#include "kernels/kernel_set.h"
#include "kernels/row_loops.h"

namespace oneround::ONEROUND_ISA {

// y = x * sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3): the tanh form of GELU (Hendrycks and Gimpel, arXiv
// 1606.08415), since (1 + tanh(u)) / 2 = sigmoid(2 u)
void gelu(const float* x, int64_t count, float* y) {
  const Vec a = set1(1.5957691216057308f), b = set1(0.0713548162726f);
  for_vectors(count, [&](int64_t i, int64_t n) {
    const Vec v = get(x + i, n);
    put(y + i, mul(v, sigmoid(mul(v, fma(b, mul(v, v), a)))), n);
  });
}

// d_x = d_y * (s + x s (1 - s) (2 u)')
void gelu_backward(const float* x, const float* d_y, int64_t count, float* d_x) {
  const Vec one = set1(1.0f), a = set1(1.5957691216057308f), b = set1(0.0713548162726f), b3 = set1(0.2140644488178f);
  for_vectors(count, [&](int64_t i, int64_t n) {
    const Vec v = get(x + i, n), v2 = mul(v, v), s = sigmoid(mul(v, fma(b, v2, a)));
    const Vec slope = fma(mul(mul(v, s), sub(one, s)), fma(b3, v2, a), s);
    put(d_x + i, mul(get(d_y + i, n), slope), n);
  });
}

// y = gate * sigmoid(gate) * up
void swiglu(const float* gate, const float* up, int64_t count, float* y) {
  for_vectors(count, [&](int64_t i, int64_t n) {
    const Vec g = get(gate + i, n);
    put(y + i, mul(mul(g, sigmoid(g)), get(up + i, n)), n);
  });
}

// d_gate = d_y * up * s * (1 + g (1 - s)), d_up = d_y * g * s, s = sigmoid(g); d_gate may be gate, d_up may be up
void swiglu_backward(const float* gate, const float* up, const float* d_y, int64_t count, float* d_gate, float* d_up) {
  const Vec one = set1(1.0f);
  for_vectors(count, [&](int64_t i, int64_t n) {
    const Vec g = get(gate + i, n), u = get(up + i, n), d = get(d_y + i, n), s = sigmoid(g);
    const Vec slope = mul(s, fma(g, sub(one, s), one));
    put(d_gate + i, mul(mul(d, u), slope), n);
    put(d_up + i, mul(d, mul(g, s)), n);
  });
}

// Integer arithmetic on the bits, which the compiler turns into vectors of the set.
void keep_rounded(const float* x, int64_t count, uint16_t* kept, float* rounded) {
  for (int64_t i = 0; i < count; i++) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x[i]);
    const uint32_t nearest = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, quiet = bits >> 16 | 0x40u;
    const uint32_t high = (bits & 0x7fffffffu) > 0x7f800000u ? quiet : nearest;
    kept[i] = static_cast<uint16_t>(high);
    rounded[i] = __builtin_bit_cast(float, high << 16);
  }
}

void take_kept(const uint16_t* kept, int64_t count, float* x) {
  for (int64_t i = 0; i < count; i++) x[i] = __builtin_bit_cast(float, static_cast<uint32_t>(kept[i]) << 16);
}

void add(const float* x, int64_t count, float* y) {
  for_vectors(count, [&](int64_t i, int64_t n) { put(y + i, add(get(y + i, n), get(x + i, n)), n); });
}

void multiply_add(const float* x, float factor, int64_t count, float* y) {
  const Vec f = set1(factor);
  for_vectors(count, [&](int64_t i, int64_t n) { put(y + i, fma(f, get(x + i, n), get(y + i, n)), n); });
}

void scale(float factor, int64_t count, float* y) {
  const Vec f = set1(factor);
  for_vectors(count, [&](int64_t i, int64_t n) { put(y + i, mul(f, get(y + i, n)), n); });
}

float dot(const float* x, const float* y, int64_t count) {
  Vec sum = zero();
  for_vectors(count, [&](int64_t i, int64_t n) { sum = fma(get(x + i, n), get(y + i, n), sum); });
  return sum_lanes(sum);
}

float exponentials(float* x, int64_t count, float* maximum) {
  float top = x[0];
  if (count >= kWidth) {
    Vec m = load(x);
    for (int64_t i = kWidth; i + kWidth <= count; i += kWidth) m = max(m, load(x + i));
    // The last vector, whatever it has in common with the one before it.
    top = max_lanes(max(m, load(x + count - kWidth)));
  } else {
    for (int64_t i = 1; i < count; i++) top = x[i] > top ? x[i] : top;
  }
  const Vec shift = set1(top);
  Vec sum = zero();
  for_vectors(count, [&](int64_t at, int64_t n) {
    const Vec e = exponential(sub(get(x + at, n), shift));
    put(x + at, e, n);
    sum = add(sum, n == kWidth ? e : keep_part(e, n));
  });
  *maximum = top;
  return sum_lanes(sum);
}

void softmax_backward(float* p, float* d_p, float log_sum, float delta, float factor, int64_t valid, int64_t count) {
  const Vec shift = set1(log_sum), d = set1(delta), f = set1(factor);
  for_vectors(valid, [&](int64_t i, int64_t n) {
    const Vec e = exponential(sub(get(p + i, n), shift));
    put(p + i, e, n);
    put(d_p + i, mul(mul(e, sub(get(d_p + i, n), d)), f), n);
  });
  for (int64_t i = valid; i < count; i++) p[i] = d_p[i] = 0.0f;
}

// (a, b) -> (a cos - b sin, b cos + a sin)
void rotate(float* x, const float* cos, const float* sin, float direction, int64_t half) {
  const Vec sign = set1(direction);
  for_vectors(half, [&](int64_t i, int64_t n) {
    const Vec a = get(x + i, n), b = get(x + half + i, n), c = get(cos + i, n), s = mul(sign, get(sin + i, n));
    put(x + i, sub(mul(a, c), mul(b, s)), n);
    put(x + half + i, fma(b, c, mul(a, s)), n);
  });
}

// In double: a square of f32 is exact there and cannot overflow. Eight partial sums, added in order.
double squared_norm(const float* x, int64_t count) {
  double part[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int j = 0; j < 8; j++) part[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  for (; i < count; i++) part[i % 8] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double total = 0;
  for (double sum : part) total += sum;
  return total;
}

// g = gradient * gradient_scale; m = beta1 m + rest1 g; v = beta2 v + rest2 g^2, rest = 1 - beta rounded once;
// p = p * decay - step_size * m / (sqrt(v) * second_scale + epsilon)
void adamw(float* parameters, const float* gradient, float* first, float* second, int64_t count, float beta1,
           float rest1, float beta2, float rest2, float step_size, float second_scale, float epsilon, float decay,
           float gradient_scale) {
  const Vec b1 = set1(beta1), b2 = set1(beta2), c1 = set1(rest1), c2 = set1(rest2);
  const Vec size = set1(step_size), root = set1(second_scale), e = set1(epsilon), keep = set1(decay),
            g_scale = set1(gradient_scale);
  for_vectors(count, [&](int64_t i, int64_t n) {
    const Vec g = mul(get(gradient + i, n), g_scale);
    const Vec m = fma(b1, get(first + i, n), mul(c1, g));
    const Vec v = fma(b2, get(second + i, n), mul(c2, mul(g, g)));
    put(first + i, m, n);
    put(second + i, v, n);
    const Vec step = div(m, fma(square_root(v), root, e));
    put(parameters + i, sub(mul(get(parameters + i, n), keep), mul(size, step)), n);
  });
}

void sgd(float* parameters, const float* gradient, float* velocity, int64_t count, float learning_rate, float momentum,
         float weight_decay, bool nesterov, float gradient_scale) {
  const Vec rate = set1(learning_rate), keep = set1(momentum), decay = set1(weight_decay),
            g_scale = set1(gradient_scale);
  for_vectors(count, [&](int64_t i, int64_t n) {
    const Vec p = get(parameters + i, n);
    const Vec g = fma(decay, p, mul(get(gradient + i, n), g_scale));
    const Vec v = fma(keep, get(velocity + i, n), g);
    put(velocity + i, v, n);
    put(parameters + i, sub(p, mul(rate, nesterov ? fma(keep, v, g) : v)), n);
  });
}

}  // namespace oneround::ONEROUND_ISA
