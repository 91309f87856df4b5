// Products of f32 numbers summed in double, and doubles onto a grid of integers. A product of two f32 numbers has 48
// bits and is exact in double, so a fused multiply-add and a multiplication with an addition give the same bits:
// these sums are the same on every instruction set.
#include <algorithm>

#include "kernels/double_tile.h"
#include "kernels/kernel_set.h"

namespace oneround::ONEROUND_ISA {

// c[i,j] += sum_k a[k,i] b[k,j], i < kProductRows, j < kProductColumns; a [count][rows], its rows `stride` apart; b
// packed [count][columns] and c [rows][columns]. Every number of a and b is an f32 number. One chain over k for each
// element.
void product_tile(int64_t count, const double* a, int64_t stride, const double* b, double* c) {
  double_register_tile<ExactStep>(count, a, stride, b, c);
}

// Adding 1.5 * 2^52 to a number below 2^51 leaves it rounded, ties to even, in the low bits of the sum.
constexpr double kMagic = 6755399441055744.0;
constexpr uint64_t kMagicBits = 0x4338000000000000;

// total[i,j] = sum_f round(weights[f] * sum_k a_f[k,i] b_f[k,j]), rows and columns of products_to_grid. Sums and totals
// stay in registers for all f; a function of its own, since a compiler that has more to keep moves some to memory.
__attribute__((noinline)) static void rounded_products(int64_t count, const int64_t* ranks, const double* weights,
                                                       const double* a, const double* b, int64_t* total) {
  Longs whole[kGridRows][kGridVectors];
  // What kMagic adds to each rounded number is taken off once.
  const auto magic_bits = static_cast<int64_t>(0 - static_cast<uint64_t>(count) * kMagicBits);
  for (int i = 0; i < kGridRows; i++)
    for (int v = 0; v < kGridVectors; v++) whole[i][v] = set_longs(magic_bits);
  const Doubles magic = set_doubles(kMagic);
  for (int64_t f = 0; f < count; f++) {
    Doubles sum[kGridRows][kGridVectors];
    for (int i = 0; i < kGridRows; i++)
      for (int v = 0; v < kGridVectors; v++) sum[i][v] = set_doubles(0);
    for (const double* const end = a + ranks[f] * kGridRows; a != end; a += kGridRows, b += kGridColumns) {
      Doubles row[kGridVectors];
      for (int v = 0; v < kGridVectors; v++) row[v] = load_doubles(b + v * kDoubles);
      for (int i = 0; i < kGridRows; i++) {
        const Doubles left = set_doubles(a[i]);
        for (int v = 0; v < kGridVectors; v++) sum[i][v] = fma_exact(left, row[v], sum[i][v]);
      }
    }
    const Doubles scale = set_doubles(weights[f]);
    for (int i = 0; i < kGridRows; i++)
      for (int v = 0; v < kGridVectors; v++)
        whole[i][v] = add_longs(whole[i][v], bits_of(add_doubles(mul_doubles(sum[i][v], scale), magic)));
  }
  for (int i = 0; i < kGridRows; i++)
    for (int v = 0; v < kGridVectors; v++) store_longs(total + i * kGridColumns + v * kDoubles, whole[i][v]);
}

// grid[i,j] += sum_f round(weights[f] * sum_k a_f[k,i] b_f[k,j]) for |weight * sum| < 2^51, i < kGridRows, j <
// kGridColumns; a and b packed as for product_tile, one f behind another, [ranks[f]][rows or columns]; rows of the grid
// are `stride` apart.
void products_to_grid(int64_t count, const int64_t* ranks, const double* weights, const double* a, const double* b,
                      int64_t* grid, int64_t stride) {
  // Wanted at the end: the products take longer than memory.
  for (int i = 0; i < kGridRows; i++)
    for (int64_t j = 0; j <= kGridColumns; j += 8) __builtin_prefetch(grid + i * stride + j, 1, 2);
  alignas(64) int64_t total[kGridRows * kGridColumns];
  rounded_products(count, ranks, weights, a, b, total);
  for (int i = 0; i < kGridRows; i++)
    for (int v = 0; v < kGridVectors; v++) {
      int64_t* const at = grid + i * stride + v * kDoubles;
      store_longs(at, add_longs(load_longs(at), load_longs(total + i * kGridColumns + v * kDoubles)));
    }
}

// panel[k,i] = b[i,k] for i < rows, 0 up to kGridRows; k < rank
void pack_grid_rows(const float* b, int64_t rows, int64_t rank, double* panel) {
  if (rows < kGridRows) std::fill_n(panel, rank * kGridRows, 0.0);
  int64_t k = 0;
  for (; rows == kGridRows && k + kDoubles <= rank; k += kDoubles) {
    double wide[kGridRows][kDoubles];
    for (int i = 0; i < kGridRows; i++) store_doubles(wide[i], widen(b + i * rank + k));
    for (int j = 0; j < kDoubles; j++)
      for (int i = 0; i < kGridRows; i++) panel[(k + j) * kGridRows + i] = wide[i][j];
  }
  for (; k < rank; k++)
    for (int64_t i = 0; i < rows; i++) panel[k * kGridRows + i] = static_cast<double>(b[i * rank + k]);
}

// panel[k,j] = x[k,j] for j < columns, 0 up to `width`, k < rows; rows of x are `stride` apart.
void pack_widened(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t width, double* panel) {
  for (int64_t k = 0; k < rows; k++, x += stride, panel += width) {
    int64_t j = 0;
    for (; j + kDoubles <= columns; j += kDoubles) store_doubles(panel + j, widen(x + j));
    for (; j < columns; j++) panel[j] = static_cast<double>(x[j]);
    for (; j < width; j++) panel[j] = 0;
  }
}

// values[i] = x[i] * factor in double, rounded to f32
void scaled_longs(const int64_t* x, double factor, int64_t count, float* values) {
  for (int64_t i = 0; i < count; i++) values[i] = static_cast<float>(static_cast<double>(x[i]) * factor);
}

// y += factor * x in double, two roundings.
void add_widened(const float* x, double factor, int64_t count, double* y) {
  const Doubles scale = set_doubles(factor);
  int64_t j = 0;
  for (; j + kDoubles <= count; j += kDoubles)
    store_doubles(y + j, add_doubles(load_doubles(y + j), mul_doubles(widen(x + j), scale)));
  for (; j < count; j++) y[j] += factor * static_cast<double>(x[j]);
}

// Sums in sixteen chains: the same on every instruction set.
constexpr int kChains = 16;
constexpr int kVectors = kChains / kDoubles;

static double sum_of_chains(const Doubles (&chain)[kVectors], const float* rest, int64_t count) {
  double sums[kChains];
  for (int v = 0; v < kVectors; v++) store_doubles(sums + v * kDoubles, chain[v]);
  for (int64_t lane = 0; lane < count; lane++)
    sums[lane] += static_cast<double>(rest[lane]) * static_cast<double>(rest[lane]);
  for (int step = kChains / 2; step > 0; step /= 2)
    for (int lane = 0; lane < step; lane++) sums[lane] += sums[lane + step];
  return sums[0];
}

// y += sum_f factors[f] x_f, one f after another; squares[f] = sum_j x_f[j]^2 in sixteen chains. One pass over all x,
// which come from memory, with y in registers.
// The next x are asked for meanwhile: the hardware looks ahead within a page only, and the next piece lies in another.
template <int files>
static void add_squares(const float* const* x, const float* const* next, const double* factors, int64_t count,
                        double* y, double* squares) {
  Doubles chain[files][kVectors];
  for (int f = 0; f < files; f++)
    for (int v = 0; v < kVectors; v++) chain[f][v] = set_doubles(0);
  int64_t j = 0;
  for (; j + kChains <= count; j += kChains) {
    for (int f = 0; f < files; f++)
      if (next != nullptr) __builtin_prefetch(next[f] + j, 0, 2);
    for (int v = 0; v < kVectors; v++) {
      const int64_t at = j + v * kDoubles;
      Doubles sum = load_doubles(y + at);
      for (int f = 0; f < files; f++) {
        const Doubles value = widen(x[f] + at);
        chain[f][v] = fma_exact(value, value, chain[f][v]);
        sum = add_doubles(sum, mul_doubles(value, set_doubles(factors[f])));
      }
      store_doubles(y + at, sum);
    }
  }
  for (int f = 0; f < files; f++) {
    squares[f] = sum_of_chains(chain[f], x[f] + j, count - j);
    for (int64_t i = j; i < count; i++) y[i] += factors[f] * static_cast<double>(x[f][i]);
  }
}

void add_widened_squares(int64_t files, const float* const* x, const double* factors, int64_t count, double* y,
                         double* squares) {
  int64_t f = 0;
  for (; f + 4 <= files; f += 4)
    add_squares<4>(x + f, f + 8 <= files ? x + f + 4 : nullptr, factors + f, count, y, squares + f);
  for (; f < files; f++) add_squares<1>(x + f, nullptr, factors + f, count, y, squares + f);
}

// sum_j x[j]^2
double sum_of_squares(const float* x, int64_t count) {
  Doubles chain[kVectors];
  for (int v = 0; v < kVectors; v++) chain[v] = set_doubles(0);
  int64_t j = 0;
  for (; j + kChains <= count; j += kChains)
    for (int v = 0; v < kVectors; v++) {
      const Doubles value = widen(x + j + v * kDoubles);
      chain[v] = fma_exact(value, value, chain[v]);
    }
  return sum_of_chains(chain, x + j, count - j);
}

}  // namespace oneround::ONEROUND_ISA
