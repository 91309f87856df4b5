// The CPU's implementation of each entry of Backend, one family a file.
#pragma once

#include "engine/backend.h"

namespace oneround::ops {

// linear.cc
void linear(void* self, const Matrix& x, const Weight& w, const Matrix& y, float scale, bool accumulate);
void linear_d_x(void* self, const Matrix& d_y, const Weight& w, const Matrix& d_x, float scale, bool accumulate);
void linear_d_w(void* self, const Matrix& d_y, const Matrix& x, const Matrix& d_w, float scale, Segments segments);
void linear_parts(void* self, const Matrix& x, const LinearPart* parts, int64_t count, RowGroups groups);
void linear_parts_d_x(void* self, const LinearPart* parts, int64_t count, const Matrix& d_x, bool accumulate,
                      RowGroups groups);

// linear_row.cc
void linear_row(void* self, const float* x, const Weight& w, float* y, float scale, bool accumulate);
void linear_row_each(void* self, const RowProduct* products, int64_t count);

// embedding.cc
void embed(void* self, const int32_t* ids, const Weight& table, const Matrix& y);
void embed_backward(void* self, const int32_t* ids, const Matrix& d_y, const Matrix& d_table);
void gather_rows(void* self, const Matrix& x, const int32_t* rows, const Matrix& y);
void scatter_rows(void* self, const Matrix& x, const int32_t* rows, const Matrix& y);

// rms_norm.cc
void rms_norm(void* self, const Matrix& x, const float* weight, float epsilon, const Matrix& y, float* inv_rms);
void rms_norm_again(void* self, const Matrix& x, const float* weight, const float* inv_rms, const Matrix& y);
void rms_norm_backward(void* self, const Matrix& x, const float* weight, const float* inv_rms, const Matrix& d_y,
                       const Matrix& d_x, float* d_weight, Segments segments);

// layer_norm.cc
void layer_norm(void* self, const Matrix& x, const float* weight, const float* bias, float epsilon, const Matrix& y,
                float* mean, float* inv);
void layer_norm_again(void* self, const Matrix& x, const float* weight, const float* bias, const float* mean,
                      const float* inv, const Matrix& y);
void layer_norm_backward(void* self, const Matrix& x, const float* weight, const float* mean, const float* inv,
                         const Matrix& d_y, const Matrix& d_x, float* d_weight, float* d_bias, Segments segments);

// bias.cc
void add_bias(void* self, const float* bias, const Matrix& y);
void bias_backward(void* self, const Matrix& d_y, float* d_bias, Segments segments);

// rope.cc
void rope(void* self, const Matrix& x, int64_t heads, int64_t head_dim, const float* cos, const float* sin,
          float direction, Segments segments);

// attention.cc, attention_backward.cc
void attention(void* self, const Matrix& q, const Matrix& k, const Matrix& v, AttentionShape shape, const Matrix& y,
               const Matrix& log_sum, Segments segments);
void attention_backward(void* self, const Matrix& q, const Matrix& k, const Matrix& v, AttentionShape shape,
                        const Matrix& y, const Matrix& log_sum, const Matrix& d_y, const Matrix& d_q, const Matrix& d_k,
                        const Matrix& d_v, Segments segments);

// attention_row.cc
void attention_row(void* self, const float* q, const Matrix& k, const Matrix& v, AttentionShape shape, float* scores,
                   float* y);

// elementwise.cc
void gelu(void* self, const Matrix& x, const Matrix& y);
void gelu_backward(void* self, const Matrix& x, const Matrix& d_y, const Matrix& d_x);
void keep_rounded(void* self, const Matrix& x, uint16_t* kept);
void take_kept(void* self, const uint16_t* kept, const Matrix& x);
void swiglu_keep(void* self, const Matrix& gate, const Matrix& up, uint16_t* kept_gate, uint16_t* kept_up,
                 const Matrix& y);
void swiglu_kept(void* self, const uint16_t* kept_gate, const uint16_t* kept_up, const Matrix& y);
void swiglu_kept_backward(void* self, const uint16_t* kept_gate, const uint16_t* kept_up, const Matrix& d_y,
                          const Matrix& d_gate, const Matrix& d_up);
void swiglu(void* self, const Matrix& gate, const Matrix& up, const Matrix& y);
void swiglu_backward(void* self, const Matrix& gate, const Matrix& up, const Matrix& d_y, const Matrix& d_gate,
                     const Matrix& d_up);
void add(void* self, const Matrix& x, const Matrix& y);
void copy(void* self, const Matrix& x, const Matrix& y);
void fill_zero(void* self, float* x, int64_t count);

// dropout.cc
void dropout(void* self, const Matrix& x, const Matrix& y, Dropout dropout, Segments segments, bool accumulate);

// cross_entropy.cc
void cross_entropy(void* self, const Matrix& logits, const int32_t* labels, float d_loss, double* losses);

// optimizer.cc
double squared_norm(void* self, const float* x, int64_t count);
void adamw(void* self, float* parameters, const float* gradient, float* first, float* second, int64_t count, AdamW o);
void sgd(void* self, float* parameters, const float* gradient, float* velocity, int64_t count, Sgd o);

}  // namespace oneround::ops
