// A block's normalisation: RMSNorm, or LayerNorm where there is a bias.
#pragma once

#include "engine/backend.h"

namespace oneround {

struct Norm {
  const float* weight = nullptr;  // [hidden]
  const float* bias = nullptr;    // null: RMSNorm
  float* d_weight = nullptr;      // null: frozen
  float* d_bias = nullptr;

  bool trains() const { return d_weight != nullptr || d_bias != nullptr; }
};

// Kept for the backward pass: [M] each.
struct NormRows {
  float* mean = nullptr;  // LayerNorm only
  float* inv = nullptr;
};

inline void norm_forward(const Backend& backend, const Norm& norm, const Matrix& x, float epsilon, const Matrix& y,
                         const NormRows& rows) {
  if (norm.bias != nullptr)
    backend.layer_norm(backend.self, x, norm.weight, norm.bias, epsilon, y, rows.mean, rows.inv);
  else
    backend.rms_norm(backend.self, x, norm.weight, epsilon, y, rows.inv);
}

inline void norm_again(const Backend& backend, const Norm& norm, const Matrix& x, const NormRows& rows,
                       const Matrix& y) {
  if (norm.bias != nullptr)
    backend.layer_norm_again(backend.self, x, norm.weight, norm.bias, rows.mean, rows.inv, y);
  else
    backend.rms_norm_again(backend.self, x, norm.weight, rows.inv, y);
}

// d_x += the gradient through the norm; adds to the norm's own.
inline void norm_backward(const Backend& backend, const Norm& norm, const Matrix& x, const NormRows& rows,
                          const Matrix& d_y, const Matrix& d_x, Segments segments) {
  if (norm.bias != nullptr)
    backend.layer_norm_backward(backend.self, x, norm.weight, rows.mean, rows.inv, d_y, d_x, norm.d_weight, norm.d_bias,
                                segments);
  else
    backend.rms_norm_backward(backend.self, x, norm.weight, rows.inv, d_y, d_x, norm.d_weight, segments);
}

}  // namespace oneround
