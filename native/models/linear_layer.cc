#include "models/linear_layer.h"

namespace oneround {

namespace {

Weight overlay_a(const Overlay& o, int64_t in) {
  return {o.a.data(), Type::f32, o.dense() ? static_cast<int64_t>(o.a.size()) / in : o.rank, in, 0, false};
}
Weight overlay_b(const Overlay& o, int64_t out) { return {o.b.data(), Type::f32, out, o.rank, 0, false}; }

// What B is applied to: u [rows, rank], or R u where there is a core.
Matrix core_forward(const Backend& backend, const LinearLayer& layer, const Matrix& u, const LinearScratch& scratch) {
  if (!layer.has_core()) return u;
  const Matrix v = matrix(scratch.core_v, u.rows, u.cols);
  backend.linear(backend.self, u, weight_of(layer.core), v, 1.0f, false);
  return v;
}

// d_v = scale d_y B, d_R += d_v' u, d_u = d_v R: everything is [rows, rank], nothing has the size of a factor.
void core_backward(const Backend& backend, const LinearLayer& layer, const Matrix& u, const Matrix& d_y,
                   const Matrix& d_u, const LinearScratch& scratch, Segments segments) {
  const Matrix d_v = matrix(scratch.core_v, u.rows, u.cols);
  backend.linear_d_x(backend.self, d_y, weight_of(layer.b), d_v, layer.scale, false);
  backend.linear_d_w(backend.self, d_v, u, layer.d_core, 1.0f, segments);
  backend.linear_d_x(backend.self, d_v, weight_of(layer.core), d_u, 1.0f, false);
}

}  // namespace

void linear_forward(const Backend& backend, const LinearLayer& layer, const Matrix& x, const Matrix& y, float* u,
                    const LinearScratch& scratch, const uint32_t* dropout_seed, Segments segments) {
  void* self = backend.self;
  backend.linear(self, x, layer.weight, y, 1.0f, false);
  if (layer.bias != nullptr) backend.add_bias(self, layer.bias, y);
  if (layer.overlay != nullptr) {
    const Overlay& overlay = *layer.overlay;
    if (overlay.dense()) {
      backend.linear(self, x, overlay_a(overlay, x.cols), y, 1.0f, true);
    } else {
      const Matrix inner = matrix(scratch.overlay_u, x.rows, overlay.rank);
      backend.linear(self, x, overlay_a(overlay, x.cols), inner, 1.0f, false);
      backend.linear(self, inner, overlay_b(overlay, y.cols), y, 1.0f, true);
    }
  }
  if (!layer.has_lora()) return;
  Matrix input = x;
  if (dropout_seed != nullptr && layer.dropout.rate > 0) {
    input = matrix(scratch.dropped, x.rows, x.cols);
    backend.dropout(self, x, input, {layer.dropout.rate, *dropout_seed, layer.dropout.layer}, segments, false);
  }
  const Matrix inner = matrix(u, x.rows, layer.rank());
  backend.linear(self, input, weight_of(layer.a), inner, 1.0f, false);
  backend.linear(self, core_forward(backend, layer, inner, scratch), weight_of(layer.b), y, layer.scale, true);
}

void linear_backward(const Backend& backend, const LinearLayer& layer, const Matrix& x, const Matrix& d_y,
                     const Matrix& d_x, bool accumulate, float* u, const LinearScratch& scratch,
                     const uint32_t* dropout_seed, Segments segments) {
  void* self = backend.self;
  const bool wants_input = d_x.data != nullptr;
  if (layer.d_bias != nullptr) backend.bias_backward(self, d_y, layer.d_bias, segments);
  if (layer.d_weight.data != nullptr && layer.weight.transposed)
    backend.linear_d_w(self, x, d_y, layer.d_weight, 1.0f, segments);
  else if (layer.d_weight.data != nullptr)
    backend.linear_d_w(self, d_y, x, layer.d_weight, 1.0f, segments);
  if (wants_input) backend.linear_d_x(self, d_y, layer.weight, d_x, 1.0f, accumulate);
  if (wants_input && layer.overlay != nullptr) {
    const Overlay& overlay = *layer.overlay;
    if (overlay.dense()) {
      backend.linear_d_x(self, d_y, overlay_a(overlay, x.cols), d_x, 1.0f, true);
    } else {
      const Matrix d_inner = matrix(scratch.overlay_u, x.rows, overlay.rank);
      backend.linear_d_x(self, d_y, overlay_b(overlay, d_y.cols), d_inner, 1.0f, false);
      backend.linear_d_x(self, d_inner, overlay_a(overlay, x.cols), d_x, 1.0f, true);
    }
  }
  if (!layer.has_lora()) return;
  const bool drops = dropout_seed != nullptr && layer.dropout.rate > 0;
  const Dropout dropout{layer.dropout.rate, drops ? *dropout_seed : 0, layer.dropout.layer};
  const Matrix inner = matrix(u, x.rows, layer.rank()), d_inner = matrix(scratch.lora_d, x.rows, layer.rank());
  if (layer.d_b.rows > 0) backend.linear_d_w(self, d_y, inner, layer.d_b, layer.scale, segments);
  if (layer.has_core())
    core_backward(backend, layer, inner, d_y, d_inner, scratch, segments);
  else if (wants_input || layer.d_a.rows > 0)
    backend.linear_d_x(self, d_y, weight_of(layer.b), d_inner, layer.scale, false);
  const Matrix dropped = matrix(scratch.dropped, x.rows, x.cols);
  if (layer.d_a.rows > 0) {
    if (drops) backend.dropout(self, x, dropped, dropout, segments, false);
    backend.linear_d_w(self, d_inner, drops ? dropped : x, layer.d_a, 1.0f, segments);
  }
  if (!wants_input) return;
  if (drops) {
    backend.linear_d_x(self, d_inner, weight_of(layer.a), dropped, 1.0f, false);
    backend.dropout(self, dropped, d_x, dropout, segments, true);
  } else {
    backend.linear_d_x(self, d_inner, weight_of(layer.a), d_x, 1.0f, true);
  }
}

}  // namespace oneround
