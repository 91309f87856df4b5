// The functions of one instruction set, by the names of Kernels' entries.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace oneround::ONEROUND_ISA {

void packed_tile(int count, const TilePart* parts, int rows, int vectors, float* c, int64_t c_stride, int m, int n,
                 float scale, bool accumulate, Lines asked);
void tile(int64_t count, const float* a, int64_t row_step, int64_t k_step, int rows, const float* b, int vectors,
          float* c, int64_t c_stride, int m, int n, float scale, bool accumulate);
void pack_a(const float* a, int64_t row_step, int64_t k_step, int m, int rows, int64_t count, float* out);
void pack_rows_as_columns(int type, const uint8_t* const* rows, int n, int64_t first, int64_t count, int width,
                          float* out, float* temporary);
void pack_rows(int type, const uint8_t* const* rows, int64_t count, int64_t first, int n, int width, float* out,
               int64_t stride);
void dequantize(int type, const uint8_t* row, int64_t first, int64_t count, float* out);

float rms_norm(const float* x, const float* weight, float epsilon, int64_t count, float* y);
void rms_norm_again(const float* x, const float* weight, float inv_rms, int64_t count, float* y);
void rms_norm_backward(const float* x, const float* weight, float inv_rms, const float* d_y, int64_t count, float* d_x);
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, int64_t count, float* y,
                float* mean, float* inv);
void layer_norm_again(const float* x, const float* weight, const float* bias, float mean, float inv, int64_t count,
                      float* y);
void layer_norm_backward(const float* x, const float* weight, float mean, float inv, const float* d_y, int64_t count,
                         float* d_x);
void gelu(const float* x, int64_t count, float* y);
void gelu_backward(const float* x, const float* d_y, int64_t count, float* d_x);
void swiglu(const float* gate, const float* up, int64_t count, float* y);
void keep_rounded(const float* x, int64_t count, uint16_t* kept, float* rounded);
void take_kept(const uint16_t* kept, int64_t count, float* x);
void swiglu_backward(const float* gate, const float* up, const float* d_y, int64_t count, float* d_gate, float* d_up);
void add(const float* x, int64_t count, float* y);
void multiply_add(const float* x, float factor, int64_t count, float* y);
void scale(float factor, int64_t count, float* y);
float dot(const float* x, const float* y, int64_t count);
float row_dot(int type, const uint8_t* row, int64_t count, const float* x, const float* sums);
void block_sums(const float* x, int64_t count, float* sums);
float exponentials(float* x, int64_t count, float* maximum);
void softmax_backward(float* p, float* d_p, float log_sum, float delta, float factor, int64_t valid, int64_t count);
void rotate(float* x, const float* cos, const float* sin, float direction, int64_t half);
double squared_norm(const float* x, int64_t count);
double peak(int64_t iterations, bool bf16, float* sink);
float read_all(const float* x, int64_t count);
void adamw(float* parameters, const float* gradient, float* first, float* second, int64_t count, float beta1,
           float rest1, float beta2, float rest2, float step_size, float second_scale, float epsilon, float decay,
           float gradient_scale);
void sgd(float* parameters, const float* gradient, float* velocity, int64_t count, float learning_rate, float momentum,
         float weight_decay, bool nesterov, float gradient_scale);

void product_tile(int64_t count, const double* a, int64_t stride, const double* b, double* c);
void products_to_grid(int64_t count, const int64_t* ranks, const double* weights, const double* a, const double* b,
                      int64_t* grid, int64_t stride);
void pack_grid_rows(const float* b, int64_t rows, int64_t rank, double* panel);
void pack_widened(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t width, double* panel);
void scaled_longs(const int64_t* x, double factor, int64_t count, float* values);
void add_widened(const float* x, double factor, int64_t count, double* y);
void add_widened_squares(int64_t files, const float* const* x, const double* factors, int64_t count, double* y,
                         double* squares);
double sum_of_squares(const float* x, int64_t count);
void double_tile(int64_t count, const double* a, const double* b, double* c);
double dot_doubles(const double* x, const double* y, int64_t count);
void add_scaled_doubles(double factor, const double* x, double* y, int64_t count);
double update_and_multiply(double a, const double* x, double b, const double* y, const double* v, double factor,
                           int64_t count, double* z, double* p);
void rotate_doubles(double* x, double* y, double c, double s, int64_t count);
void sturm_counts(const double* diagonal, const double* couplings, int64_t count, const double* x, double tiny,
                  double* counts);

}  // namespace oneround::ONEROUND_ISA
