#include "models/linear_layer.h"

namespace oneround {

namespace {

Weight overlay_a(const Overlay& o, int64_t in) {
  return {o.a.data(), Type::f32, o.dense() ? static_cast<int64_t>(o.a.size()) / in : o.rank, in, 0, false, true};
}
Weight overlay_b(const Overlay& o, int64_t out) { return {o.b.data(), Type::f32, out, o.rank, 0, false, true}; }

bool drops(const LinearLayer& layer, const uint32_t* dropout_seed) {
  return dropout_seed != nullptr && layer.has_lora() && layer.dropout.rate > 0;
}

// The layer's weight and, where no dropout stands between x and them, its factors.
LinearPart part_of(const LayerUse& use, float* u, const uint32_t* dropout_seed) {
  const LinearLayer& layer = *use.layer;
  LinearPart part{layer.weight, use.y, {}, {}, {}, 0};
  if (!layer.has_lora() || drops(layer, dropout_seed)) return part;
  part.a = weight_of(layer.a);
  part.b = weight_of(layer.b);
  part.u = matrix(u, use.y.rows, layer.rank());
  part.scale = layer.scale;
  return part;
}

void overlay_forward(const Backend& backend, const Overlay& overlay, const Matrix& x, const Matrix& y,
                     const LinearScratch& scratch) {
  if (overlay.dense()) {
    backend.linear(backend.self, x, overlay_a(overlay, x.cols), y, 1.0f, true);
    return;
  }
  const Matrix inner = matrix(scratch.overlay_u, x.rows, overlay.rank);
  backend.linear(backend.self, x, overlay_a(overlay, x.cols), inner, 1.0f, false);
  backend.linear(backend.self, inner, overlay_b(overlay, y.cols), y, 1.0f, true);
}

void overlay_backward(const Backend& backend, const Overlay& overlay, const Matrix& d_y, const Matrix& d_x,
                      const LinearScratch& scratch) {
  if (overlay.dense()) {
    backend.linear_d_x(backend.self, d_y, overlay_a(overlay, d_x.cols), d_x, 1.0f, true);
    return;
  }
  const Matrix d_inner = matrix(scratch.overlay_u, d_x.rows, overlay.rank);
  backend.linear_d_x(backend.self, d_y, overlay_b(overlay, d_y.cols), d_inner, 1.0f, false);
  backend.linear_d_x(backend.self, d_inner, overlay_a(overlay, d_x.cols), d_x, 1.0f, true);
}

// d_u where dropout stood between x and A, and what goes back through it.
void dropped_backward(const Backend& backend, const LayerUse& use, const Matrix& x, const Matrix& d_inner,
                      const Matrix& d_x, const LinearScratch& scratch, uint32_t seed, Segments segments) {
  const LinearLayer& layer = *use.layer;
  const Dropout dropout{layer.dropout.rate, seed, layer.dropout.layer};
  const Matrix dropped = matrix(scratch.dropped, x.rows, x.cols);
  backend.linear_d_x(backend.self, use.y, weight_of(layer.b), d_inner, layer.scale, false);
  backend.dropout(backend.self, x, dropped, dropout, segments, false);
  backend.linear_d_w(backend.self, d_inner, dropped, layer.d_a, 1.0f, segments);
  if (d_x.data == nullptr) return;
  backend.linear_d_x(backend.self, d_inner, weight_of(layer.a), dropped, 1.0f, false);
  backend.dropout(backend.self, dropped, d_x, dropout, segments, true);
}

}  // namespace

void linear_forward(const Backend& backend, std::span<const LayerUse> uses, const Matrix& x,
                    const LinearScratch& scratch, const uint32_t* dropout_seed, Segments segments) {
  void* self = backend.self;
  LinearPart parts[kMostParts];
  for (size_t i = 0; i < uses.size(); i++) parts[i] = part_of(uses[i], uses[i].u, dropout_seed);
  backend.linear_parts(self, x, parts, static_cast<int64_t>(uses.size()));
  for (const LayerUse& use : uses) {
    const LinearLayer& layer = *use.layer;
    if (layer.bias != nullptr) backend.add_bias(self, layer.bias, use.y);
    if (layer.overlay != nullptr) overlay_forward(backend, *layer.overlay, x, use.y, scratch);
    if (!drops(layer, dropout_seed)) continue;
    const Matrix dropped = matrix(scratch.dropped, x.rows, x.cols), inner = matrix(use.u, x.rows, layer.rank());
    backend.dropout(self, x, dropped, {layer.dropout.rate, *dropout_seed, layer.dropout.layer}, segments, false);
    backend.linear(self, dropped, weight_of(layer.a), inner, 1.0f, false);
    backend.linear(self, inner, weight_of(layer.b), use.y, layer.scale, true);
  }
}

void linear_backward(const Backend& backend, std::span<const LayerUse> uses, const Matrix& x, const Matrix& d_x,
                     const LinearScratch& scratch, const uint32_t* dropout_seed, Segments segments) {
  void* self = backend.self;
  LinearPart parts[kMostParts];
  bool factors = false;
  for (size_t i = 0; i < uses.size(); i++) {
    float* d_u = scratch.lora_d + static_cast<int64_t>(i) * x.rows * scratch.widest_rank;
    parts[i] = part_of(uses[i], d_u, dropout_seed);
    factors = factors || parts[i].u.data != nullptr;
  }
  if (factors || d_x.data != nullptr)
    backend.linear_parts_d_x(self, parts, static_cast<int64_t>(uses.size()), d_x, false);
  for (size_t i = 0; i < uses.size(); i++) {
    const LinearLayer& layer = *uses[i].layer;
    const Matrix& d_y = uses[i].y;
    if (layer.d_bias != nullptr) backend.bias_backward(self, d_y, layer.d_bias, segments);
    if (layer.d_weight.data != nullptr && layer.weight.transposed)
      backend.linear_d_w(self, x, d_y, layer.d_weight, 1.0f, segments);
    else if (layer.d_weight.data != nullptr)
      backend.linear_d_w(self, d_y, x, layer.d_weight, 1.0f, segments);
    if (d_x.data != nullptr && layer.overlay != nullptr) overlay_backward(backend, *layer.overlay, d_y, d_x, scratch);
    if (!layer.has_lora()) continue;
    const Matrix inner = matrix(uses[i].u, x.rows, layer.rank());
    backend.linear_d_w(self, d_y, inner, layer.d_b, layer.scale, segments);
    if (drops(layer, dropout_seed))
      dropped_backward(backend, uses[i], x, matrix(scratch.lora_d, x.rows, layer.rank()), d_x, scratch, *dropout_seed,
                       segments);
    else
      backend.linear_d_w(self, parts[i].u, x, layer.d_a, 1.0f, segments);
  }
}

}  // namespace oneround
