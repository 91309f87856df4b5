// The seam to a device: one entry per operation. ops/cpu fills it from the kernels of the chosen instruction
// set; a plugin may fill it too. Shapes: M rows (tokens), K in, N out, H heads, D head_dim.
// `+=` means that the result is added to what is there. All activations and gradients are f32.
// No entry allocates, blocks on anything but its own work, or keeps a pointer after it returns.
#pragma once

#include <cstdint>

#include "engine/tensor_view.h"

namespace oneround {

constexpr int32_t kBackendVersion = 5;

struct AttentionShape {
  int64_t heads = 0;
  int64_t kv_heads = 0;  // divides heads
  int64_t head_dim = 0;
  int64_t window = 0;  // a query sees itself and the window - 1 keys before it; 0: all keys before it
  bool exact = false;  // in f32 even where the backend rounds to bf16, as Weight::exact
};

struct AdamW {
  double learning_rate, beta1, beta2, epsilon, weight_decay;
  int64_t step;           // from 1
  double gradient_scale;  // multiplies the gradient before it is used (clipping)
};

// velocity = momentum * velocity + g, g = gradient * gradient_scale + weight_decay * p;
// p -= learning_rate * (nesterov ? g + momentum * velocity : velocity)    (PyTorch's form; Sutskever et al., ICML 2013)
struct Sgd {
  double learning_rate, momentum, weight_decay;
  bool nesterov;
  double gradient_scale;
};

// LoRA dropout: element (row t of its segment, column c) of the mask comes from
// Philox(key = {seed, layer}, counter = {segment.dropout_counter, t, c / 4}), so any batching gives the same mask.
struct Dropout {
  float rate = 0;  // 0: off
  uint32_t seed = 0;
  uint32_t layer = 0;
};

constexpr int64_t kRowProducts = 16;  // most products of one linear_row_each

// One product of linear_row_each: y (+)= scale * x w'.                        x [K], w [N,K], y [N]
struct RowProduct {
  const float* x;
  Weight w;
  float* y;
  float scale;
  bool accumulate;
};

struct LinearFactors {
  Weight a;  // [r,K]
  Weight b;  // [N,r]
};

// One of several layers that read the same rows: y = x w' + u b', u = scale x a' (no factors where u's data is null).
// In the backward pass y and u hold d_y and d_u.
struct LinearPart {
  Weight w;                                // [N,K]
  Matrix y;                                // [M,N]
  const LinearFactors* factors = nullptr;  // one a group of rows, all of rank r
  Matrix u;                                // [M,r]
  float scale = 0;
};
constexpr int64_t kMostParts = 3;

struct Backend {
  int32_t version = kBackendVersion;
  void* self = nullptr;
  // Bytes of scratch that the largest call within these bounds will use; taken before the first step.
  int64_t (*scratch_bytes)(void* self, int64_t max_rows, int64_t max_cols, int64_t longest_segment,
                           AttentionShape shape);

  // y[m,:] = table[ids[m],:]                                ids i32 [M], table [V,K], y [M,K]
  void (*embed)(void* self, const int32_t* ids, const Weight& table, const Matrix& y);
  // d_table[ids[m],:] += d_y[m,:]                           rows in order of m
  void (*embed_backward)(void* self, const int32_t* ids, const Matrix& d_y, const Matrix& d_table);

  // inv_rms[m] = 1/sqrt(mean(x[m,:]^2) + epsilon); y = x * inv_rms * weight      weight f32 [1,K]
  void (*rms_norm)(void* self, const Matrix& x, const float* weight, float epsilon, const Matrix& y, float* inv_rms);
  // the same y from a kept inv_rms
  void (*rms_norm_again)(void* self, const Matrix& x, const float* weight, const float* inv_rms, const Matrix& y);
  // d_x += the gradient through rms_norm; d_weight (null: not wanted) [1,K] +=, segment by segment
  void (*rms_norm_backward)(void* self, const Matrix& x, const float* weight, const float* inv_rms, const Matrix& d_y,
                            const Matrix& d_x, float* d_weight, Segments segments);

  // LayerNorm: y = (x - mean) * inv * weight + bias; mean [M], inv [M] kept      weight, bias f32 [1,K]
  void (*layer_norm)(void* self, const Matrix& x, const float* weight, const float* bias, float epsilon,
                     const Matrix& y, float* mean, float* inv);
  void (*layer_norm_again)(void* self, const Matrix& x, const float* weight, const float* bias, const float* mean,
                           const float* inv, const Matrix& y);
  // d_x +=; d_weight, d_bias (null: not wanted) +=, segment by segment
  void (*layer_norm_backward)(void* self, const Matrix& x, const float* weight, const float* mean, const float* inv,
                              const Matrix& d_y, const Matrix& d_x, float* d_weight, float* d_bias, Segments segments);

  // y[m,:] += bias                                          bias f32 [1,N]
  void (*add_bias)(void* self, const float* bias, const Matrix& y);
  // d_bias += sum over rows of d_y, segment by segment
  void (*bias_backward)(void* self, const Matrix& d_y, float* d_bias, Segments segments);

  // y (+)= scale * x w'                                     x [M,K], w [N,K] (stored [K,N] where transposed), y [M,N]
  void (*linear)(void* self, const Matrix& x, const Weight& w, const Matrix& y, float scale, bool accumulate);
  // d_x (+)= scale * d_y w                                  d_y [M,N], w [N,K], d_x [M,K]
  void (*linear_d_x)(void* self, const Matrix& d_y, const Weight& w, const Matrix& d_x, float scale, bool accumulate);
  // d_w += scale * d_y' x, segment by segment               d_y [M,N], x [M,K], d_w [N,K]
  void (*linear_d_w)(void* self, const Matrix& d_y, const Matrix& x, const Matrix& d_w, float scale, Segments segments);

  // u_i = scale_i x a_i', y_i = x w_i' + u_i b_i'           1 to kMostParts parts, all overwritten
  // Each group of rows has its own a_i and b_i; a row's bits do not depend on the groups beside its own.
  void (*linear_parts)(void* self, const Matrix& x, const LinearPart* parts, int64_t count, RowGroups groups);
  // d_u_i = scale_i d_y_i b_i, d_x (+)= sum over i of d_y_i w_i + d_u_i a_i       d_x data null: not wanted
  void (*linear_parts_d_x)(void* self, const LinearPart* parts, int64_t count, const Matrix& d_x, bool accumulate,
                           RowGroups groups);

  // The same for one row, each output a dot product over vector lanes: for generation, where a weight is read for one
  // token only. Its rounding differs from linear's.                            x [K], w [N,K], y [N]
  void (*linear_row)(void* self, const float* x, const Weight& w, float* y, float scale, bool accumulate);
  // Several of them at once, because a fork and join costs as much as a small product. No y is another's x or y.
  void (*linear_row_each)(void* self, const RowProduct* products, int64_t count);

  // Rotary embedding in place on [M, H*D]; pairs (i, i + D/2); direction -1 is the inverse (and the backward pass).
  // cos, sin: [positions, D/2]; a row's position is its place in its segment.
  void (*rope)(void* self, const Matrix& x, int64_t heads, int64_t head_dim, const float* cos, const float* sin,
               float direction, Segments segments);

  // Causal softmax(q k' / sqrt(D)) v inside each segment. q [M,H*D], k v [M,Hkv*D], y [M,H*D];
  // log_sum [M,H] = log of the softmax's denominator, kept for the backward pass.
  void (*attention)(void* self, const Matrix& q, const Matrix& k, const Matrix& v, AttentionShape shape,
                    const Matrix& y, const Matrix& log_sum, Segments segments);
  // One query against all rows of k and v (the last `window` of them): q [H*D], k v [keys, Hkv*D], y [H*D];
  // scores: scratch of H * keys floats.
  void (*attention_row)(void* self, const float* q, const Matrix& k, const Matrix& v, AttentionShape shape,
                        float* scores, float* y);
  // d_q, d_k, d_v are overwritten.
  void (*attention_backward)(void* self, const Matrix& q, const Matrix& k, const Matrix& v, AttentionShape shape,
                             const Matrix& y, const Matrix& log_sum, const Matrix& d_y, const Matrix& d_q,
                             const Matrix& d_k, const Matrix& d_v, Segments segments);

  // y = gelu(x), tanh form                                  both [M,K]
  void (*gelu)(void* self, const Matrix& x, const Matrix& y);
  // d_x is overwritten; it may be x
  void (*gelu_backward)(void* self, const Matrix& x, const Matrix& d_y, const Matrix& d_x);

  // y = gate * sigmoid(gate) * up                           all [M,K]
  void (*swiglu)(void* self, const Matrix& gate, const Matrix& up, const Matrix& y);
  // d_gate and d_up are overwritten
  void (*swiglu_backward)(void* self, const Matrix& gate, const Matrix& up, const Matrix& d_y, const Matrix& d_gate,
                          const Matrix& d_up);

  // y = x * mask / (1 - rate); y may be x. accumulate: y += instead.
  void (*dropout)(void* self, const Matrix& x, const Matrix& y, Dropout dropout, Segments segments, bool accumulate);

  // Half the memory for what is kept: x rounded to bf16 (to nearest, ties to even), in x itself and in kept [M,K]
  void (*keep_rounded)(void* self, const Matrix& x, uint16_t* kept);
  // x = kept
  void (*take_kept)(void* self, const uint16_t* kept, const Matrix& x);
  // keep_rounded of gate and up (which are left as they are) and swiglu of what was kept; later swiglu and its
  // gradients from what was kept, as swiglu and swiglu_backward have them              all [M,K]
  void (*swiglu_keep)(void* self, const Matrix& gate, const Matrix& up, uint16_t* kept_gate, uint16_t* kept_up,
                      const Matrix& y);
  void (*swiglu_kept)(void* self, const uint16_t* kept_gate, const uint16_t* kept_up, const Matrix& y);
  void (*swiglu_kept_backward)(void* self, const uint16_t* kept_gate, const uint16_t* kept_up, const Matrix& d_y,
                               const Matrix& d_gate, const Matrix& d_up);

  // y = x                                                   both [M,K]
  void (*copy)(void* self, const Matrix& x, const Matrix& y);
  // y += x                                                  both [M,K]
  void (*add)(void* self, const Matrix& x, const Matrix& y);
  // y[i,:] = x[rows[i],:]   and   y[rows[i],:] = x[i,:]
  void (*gather_rows)(void* self, const Matrix& x, const int32_t* rows, const Matrix& y);
  void (*scatter_rows)(void* self, const Matrix& x, const int32_t* rows, const Matrix& y);

  // losses[m] = log(sum(exp(logits[m,:]))) - logits[m,labels[m]]; logits becomes d_logits = (softmax - onehot) *
  // d_loss. d_loss == 0: logits are left unspecified.
  void (*cross_entropy)(void* self, const Matrix& logits, const int32_t* labels, float d_loss, double* losses);

  // sum of squares in double, in blocks counted from the start of the buffer
  double (*squared_norm)(void* self, const float* x, int64_t count);
  // decoupled weight decay, bias-corrected moments (Loshchilov and Hutter, arXiv 1711.05101)
  void (*adamw)(void* self, float* parameters, const float* gradient, float* first, float* second, int64_t count,
                AdamW o);
  void (*sgd)(void* self, float* parameters, const float* gradient, float* velocity, int64_t count, Sgd o);
  void (*fill_zero)(void* self, float* x, int64_t count);
};

}  // namespace oneround
