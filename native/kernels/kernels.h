// What one instruction set offers to ops/cpu: plain C types only, so that no inline function of a header is
// compiled with a higher set and picked by the linker for baseline code.
#pragma once

#include <cstdint>

namespace oneround {

// Some depths of a tile's operands, packed: 32 bits hold one f32 or two bf16 of neighbouring depths.
struct TilePart {
  int64_t count;
  const float* a;  // [count][rows]
  const float* b;  // [count][vectors * vector_width]
};

// Lines of memory that are asked for meanwhile, one every few depths; as many as there are depths for.
struct Lines {
  int64_t count = 0;
  const uint8_t* const* at = nullptr;
  int64_t every = 1;
};

// Shifts of one sturm_counts: three vectors of the widest set.
constexpr int kSturmShifts = 24;

struct Kernels {
  const char* name;
  int tile_rows;     // most rows of a register tile
  int short_rows;    // fewest
  int vector_width;  // floats in a vector; a tile is 1 or 2 vectors wide

  // --- matrix products (matmul_tile.cc, pack.cc, dequantize.cc) ---
  // c[i,j] (+)= scale * sum_k a[i,k] * b[k,j], i < m <= rows, j < n <= vectors * vector_width, rows from short_rows to
  // tile_rows; one FMA chain over k, through all parts, per element.
  void (*packed_tile)(int count, const TilePart* parts, int rows, int vectors, float* c, int64_t c_stride, int m, int n,
                      float scale, bool accumulate, Lines asked);
  // The same with a where it lies: a[i,k] at a[i*row_step + k*k_step], one of the steps 1; rows is tile_rows or
  // short_rows.
  void (*tile)(int64_t count, const float* a, int64_t row_step, int64_t k_step, int rows, const float* b, int vectors,
               float* c, int64_t c_stride, int m, int n, float scale, bool accumulate);
  // out[k][i] = a[i,k] for i < m, 0 for m <= i < rows
  void (*pack_a)(const float* a, int64_t row_step, int64_t k_step, int m, int rows, int64_t count, float* out);
  // out[k][j] = row_j[first + k], 0 for j >= n; rows in storage `type`; temporary [n * count] floats
  void (*pack_rows_as_columns)(int type, const uint8_t* const* rows, int n, int64_t first, int64_t count, int width,
                               float* out, float* temporary);
  // out[k][j] = row_k[first + j], 0 for j >= n; each `width` columns are a panel, `stride` after the last
  void (*pack_rows)(int type, const uint8_t* const* rows, int64_t count, int64_t first, int n, int width, float* out,
                    int64_t stride);
  // out[i] = row[first + i]
  void (*dequantize)(int type, const uint8_t* row, int64_t first, int64_t count, float* out);

  // The same with operands rounded to bf16 in pairs of depths (bf16.h); null where the set has no bf16.
  void (*bf16_tile)(int count, const TilePart* parts, int rows, int vectors, float* c, int64_t c_stride, int m, int n,
                    float scale, bool accumulate, Lines asked);
  void (*bf16_pack_left)(const float* a, int64_t row_step, int64_t k_step, int m, int rows, int64_t count,
                         uint32_t* out);
  void (*bf16_pack_rows_as_columns)(int type, const uint8_t* const* rows, int n, int64_t first, int64_t count,
                                    int width, uint32_t* out);
  void (*bf16_pack_rows)(int type, const uint8_t* const* rows, int64_t count, int64_t first, int n, int width,
                         uint32_t* out);

  // --- one row at a time (rows.cc) ---
  float (*rms_norm)(const float* x, const float* weight, float epsilon, int64_t count, float* y);  // returns inv_rms
  void (*rms_norm_again)(const float* x, const float* weight, float inv_rms, int64_t count, float* y);
  void (*rms_norm_backward)(const float* x, const float* weight, float inv_rms, const float* d_y, int64_t count,
                            float* d_x);
  // y = (x - mean) * inv * weight + bias; returns through mean and inv
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon, int64_t count, float* y,
                     float* mean, float* inv);
  void (*layer_norm_again)(const float* x, const float* weight, const float* bias, float mean, float inv, int64_t count,
                           float* y);
  void (*layer_norm_backward)(const float* x, const float* weight, float mean, float inv, const float* d_y,
                              int64_t count, float* d_x);
  void (*gelu)(const float* x, int64_t count, float* y);
  void (*gelu_backward)(const float* x, const float* d_y, int64_t count, float* d_x);
  void (*swiglu)(const float* gate, const float* up, int64_t count, float* y);
  void (*swiglu_backward)(const float* gate, const float* up, const float* d_y, int64_t count, float* d_gate,
                          float* d_up);
  // x rounded to bf16 (to nearest, ties to even; NaN stays NaN), in rounded (it may be x) and in kept; and x = kept
  void (*keep_rounded)(const float* x, int64_t count, uint16_t* kept, float* rounded);
  void (*take_kept)(const uint16_t* kept, int64_t count, float* x);
  void (*add)(const float* x, int64_t count, float* y);                         // y += x
  void (*multiply_add)(const float* x, float factor, int64_t count, float* y);  // y += factor * x
  void (*scale)(float factor, int64_t count, float* y);                         // y *= factor
  float (*dot)(const float* x, const float* y, int64_t count);
  // sum_k x[k] row[k] for a row in storage `type`; sums: block_sums of x, read for q4_0 and q4_1 only (row_dot.cc)
  float (*row_dot)(int type, const uint8_t* row, int64_t count, const float* x, const float* sums);
  // sums[b] = sum of x[32 b .. 32 b + 31] for whole blocks
  void (*block_sums)(const float* x, int64_t count, float* sums);
  // x = exp(x - max); returns the sum and the maximum
  float (*exponentials)(float* x, int64_t count, float* maximum);
  // p = exp(p - log_sum) for i < valid, 0 up to count; d_p = p * (d_p - delta) * factor
  void (*softmax_backward)(float* p, float* d_p, float log_sum, float delta, float factor, int64_t valid,
                           int64_t count);
  // rotates pairs (x[i], x[i + half]) by direction * angle
  void (*rotate)(float* x, const float* cos, const float* sin, float direction, int64_t half);
  double (*squared_norm)(const float* x, int64_t count);
  void (*adamw)(float* parameters, const float* gradient, float* first, float* second, int64_t count, float beta1,
                float rest1, float beta2, float rest2, float step_size, float second_scale, float epsilon, float decay,
                float gradient_scale);
  void (*sgd)(float* parameters, const float* gradient, float* velocity, int64_t count, float learning_rate,
              float momentum, float weight_decay, bool nesterov, float gradient_scale);

  // --- sums in double that are the same on every instruction set (exact_products.cc, double_rows.cc) ---
  int product_rows;  // rows and columns of product_tile
  int product_columns;
  // c[i,j] += sum_k a[k,i] b[k,j]; a [count][product_rows], its rows `stride` apart; b [count][product_columns], c
  // [rows][columns]; all of a and b must be f32 numbers
  void (*product_tile)(int64_t count, const double* a, int64_t stride, const double* b, double* c);
  int grid_rows;  // rows and columns of products_to_grid
  int grid_columns;
  // grid[i,j] += sum_f round(weights[f] * sum_k a_f[k,i] b_f[k,j]) for |weight * sum| < 2^51, f < count; a and b one f
  // behind another, [ranks[f]][grid_rows or grid_columns]; rows of the grid are `stride` apart
  void (*products_to_grid)(int64_t count, const int64_t* ranks, const double* weights, const double* a, const double* b,
                           int64_t* grid, int64_t stride);
  // panel[k,i] = b[i,k], i < rows <= grid_rows, k < rank; zeros up to grid_rows
  void (*pack_grid_rows)(const float* b, int64_t rows, int64_t rank, double* panel);
  // panel[k,j] = x[k,j], j < columns <= width; zeros up to width; rows of x are `stride` apart
  void (*pack_widened)(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t width, double* panel);
  void (*scaled_longs)(const int64_t* x, double factor, int64_t count, float* values);  // values = x * factor
  void (*add_widened)(const float* x, double factor, int64_t count, double* y);         // y += factor * x
  // y += sum_f factors[f] x_f, one after another, and squares[f] = sum_j x_f[j]^2
  void (*add_widened_squares)(int64_t files, const float* const* x, const double* factors, int64_t count, double* y,
                              double* squares);
  double (*sum_of_squares)(const float* x, int64_t count);
  // product_tile of any doubles, of packed a: products are rounded before they are added
  void (*double_tile)(int64_t count, const double* a, const double* b, double* c);
  double (*dot_doubles)(const double* x, const double* y, int64_t count);
  void (*add_scaled_doubles)(double factor, const double* x, double* y, int64_t count);  // y += factor * x
  // z = (z + a x) + b y, then p += factor * z; returns z . v; sixteen numbers before p are stored as they are
  double (*update_and_multiply)(double a, const double* x, double b, const double* y, const double* v, double factor,
                                int64_t count, double* z, double* p);
  void (*rotate_doubles)(double* x, double* y, double c, double s, int64_t count);  // x, y = c x - s y, s x + c y
  // counts[s] = eigenvalues above x[s], s < kSturmShifts, of the tridiagonal matrix with this diagonal and the squares
  // `couplings` beside it, [0] = 0; pivots below `tiny` count as negative
  void (*sturm_counts)(const double* diagonal, const double* couplings, int64_t count, const double* x, double tiny,
                       double* counts);

  // --- what the machine can do at most (peak.cc) ---
  double (*peak)(int64_t iterations, bool bf16, float* sink);  // returns the operations done
  float (*read_all)(const float* x, int64_t count);            // returns the sum
};

// Each is defined in its own instruction set's library; null where the library was not built.
const Kernels* kernels_scalar();
const Kernels* kernels_avx2();
const Kernels* kernels_avx512();
const Kernels* kernels_avx512bf16();

// The best set of this machine, or the lower one that `forced` names. Null: unknown here.
const Kernels* select_kernels(const char* forced);
// Fills names of the sets that this machine can run, worst first; returns how many.
constexpr int kKernelSets = 4;
int available_kernels(const char* names[kKernelSets]);

}  // namespace oneround
