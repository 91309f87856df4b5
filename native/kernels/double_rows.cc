// The loops of the factorisations, in double: sixteen chains in a fixed order and no fused operation, so that vectors
// of any width give the same bits.
#include "kernels/double_tile.h"
#include "kernels/kernel_set.h"

namespace oneround::ONEROUND_ISA {

constexpr int kChains = 16;
constexpr int kVectors = kChains / kDoubles;

// The chains' sum: chain 0 + chain 8, .., then the first four and the last four of these, ..
static double sum_of_chains(Doubles (&chain)[kVectors]) {
  int vectors = kVectors;
  for (; vectors > 1; vectors /= 2)
    for (int v = 0; v < vectors / 2; v++) chain[v] = add_doubles(chain[v], chain[v + vectors / 2]);
  double sums[kDoubles];
  store_doubles(sums, chain[0]);
  for (int step = kDoubles / 2; step > 0; step /= 2)
    for (int lane = 0; lane < step; lane++) sums[lane] += sums[lane + step];
  return sums[0];
}

// sum_i x[i] y[i]; behind the end lie zeros
double dot_doubles(const double* x, const double* y, int64_t count) {
  Doubles chain[kVectors];
  for (int v = 0; v < kVectors; v++) chain[v] = set_doubles(0);
  int64_t i = 0;
  for (; i + kChains <= count; i += kChains)
    for (int v = 0; v < kVectors; v++)
      chain[v] =
          add_doubles(chain[v], mul_doubles(load_doubles(x + i + v * kDoubles), load_doubles(y + i + v * kDoubles)));
  for (int v = 0; v < kVectors && i < count; v++) {
    const int64_t at = i + v * kDoubles, left = count - at;
    chain[v] = add_doubles(chain[v], mul_doubles(load_some(x + at, left), load_some(y + at, left)));
  }
  return sum_of_chains(chain);
}

// c[i,j] += sum_k a[k,i] b[k,j], i < kProductRows, j < kProductColumns, in doubles of any kind: packed as for
// product_tile; one chain over k for each element, each product rounded before it is added.
void double_tile(int64_t count, const double* a, const double* b, double* c) {
  double_register_tile<RoundedStep>(count, a, kProductRows, b, c);
}

// y += factor * x
void add_scaled_doubles(double factor, const double* x, double* y, int64_t count) {
  const Doubles scale = set_doubles(factor);
  int64_t i = 0;
  for (; i + kDoubles <= count; i += kDoubles)
    store_doubles(y + i, add_doubles(load_doubles(y + i), mul_doubles(scale, load_doubles(x + i))));
  const int64_t left = count - i;
  if (left > 0)
    store_some(y + i, add_doubles(load_some(y + i, left), mul_doubles(scale, load_some(x + i, left))), left);
}

// z = (z + a x) + b y, and of this z: p += factor * z; returns sum_i z[i] v[i]. One pass over z, which is a column of a
// large matrix. The chains are counted from the end: columns of a triangle end at one row, so that a vector of p is
// loaded as the call before has stored it, which the processor hands on at once. So p has sixteen numbers before it,
// which are stored as they are.
double update_and_multiply(double a, const double* x, double b, const double* y, const double* v, double factor,
                           int64_t count, double* z, double* p) {
  const Doubles first = set_doubles(a), second = set_doubles(b), scale = set_doubles(factor);
  Doubles chain[kVectors];
  for (int c = 0; c < kVectors; c++) chain[c] = set_doubles(0);
  const auto update = [&](int c, int64_t at, Doubles column, const auto& load) {
    const Doubles sum = add_doubles(column, mul_doubles(first, load(x + at)));
    const Doubles value = add_doubles(sum, mul_doubles(second, load(y + at)));
    chain[c] = add_doubles(chain[c], mul_doubles(value, load(v + at)));
    store_doubles(p + at, add_doubles(load_doubles(p + at), mul_doubles(scale, value)));
    return value;
  };
  int64_t i = count % kChains;
  for (int c = 0; c < kVectors && i > 0; c++) {
    const int64_t at = i - kChains + c * kDoubles, skip = -at;
    if (skip >= kDoubles) continue;
    const auto load = [&](const double* from) { return load_behind(from, skip); };
    store_behind(z + at, update(c, at, load(z + at), load), skip);
  }
  for (; i < count; i += kChains)
    for (int c = 0; c < kVectors; c++) {
      const int64_t at = i + c * kDoubles;
      store_doubles(z + at, update(c, at, load_doubles(z + at), [](const double* from) { return load_doubles(from); }));
    }
  return sum_of_chains(chain);
}

// x, y = c x - s y, s x + c y
void rotate_doubles(double* x, double* y, double c, double s, int64_t count) {
  const Doubles cosine = set_doubles(c), sine = set_doubles(s), minus = set_doubles(-s);
  int64_t i = 0;
  for (; i + kDoubles <= count; i += kDoubles) {
    const Doubles xi = load_doubles(x + i), yi = load_doubles(y + i);
    store_doubles(x + i, add_doubles(mul_doubles(cosine, xi), mul_doubles(minus, yi)));
    store_doubles(y + i, add_doubles(mul_doubles(sine, xi), mul_doubles(cosine, yi)));
  }
  for (; i < count; i++) {
    const double xi = x[i], yi = y[i];
    x[i] = c * xi - s * yi;
    y[i] = s * xi + c * yi;
  }
}

// counts[s] = how many eigenvalues of a tridiagonal matrix lie above x[s] (Sturm's sequence); `couplings` are the
// squares beside the diagonal, couplings[0] = 0. Each chain of divisions waits for itself, so many shifts go side by
// side.
void sturm_counts(const double* diagonal, const double* couplings, int64_t count, const double* x, double tiny,
                  double* counts) {
  double pivot[kSturmShifts], above[kSturmShifts];
  for (int s = 0; s < kSturmShifts; s++) {
    pivot[s] = 1;
    above[s] = 0;
  }
  for (int64_t i = 0; i < count; i++)
    for (int s = 0; s < kSturmShifts; s++) {
      const double next = diagonal[i] - x[s] - couplings[i] / pivot[s];
      pivot[s] = __builtin_fabs(next) < tiny ? -tiny : next;
      above[s] += pivot[s] > 0 ? 1.0 : 0.0;
    }
  for (int s = 0; s < kSturmShifts; s++) counts[s] = above[s];
}

}  // namespace oneround::ONEROUND_ISA
