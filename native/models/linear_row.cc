#include "models/linear_row.h"

namespace oneround {

namespace {

// Products that do not wait for each other.
struct Stage {
  RowProduct products[kRowLayers * (1 + kRowFactors)];
  int64_t count = 0;

  void add(const float* x, const Weight& w, float* y, float scale, bool accumulate) {
    products[count++] = {x, w, y, scale, accumulate};
  }
  void run(const Backend& backend) const {
    if (count > 0) backend.linear_row_each(backend.self, products, count);
  }
};
static_assert(kRowLayers * (1 + kRowFactors) <= kRowProducts);

}  // namespace

// Stages: base products and the factors' first halves; what overlays add; cores; what LoRA adds.
void linear_row_forward(const Backend& backend, const Parameters& parameters, const float* x,
                        std::initializer_list<RowLayer> layers, float* inner) {
  Stage first, overlays, cores, lora;
  for (const auto& [layer, y] : layers) first.add(x, layer->weight, y, 1.0f, false);
  for (const auto& [layer, y] : layers) {
    const int64_t in = layer->weight.in(), out = layer->weight.out();
    if (layer->overlay != nullptr) {
      const Overlay& overlay = *layer->overlay;
      const float *a = overlay.a.data(), *b = overlay.b.data();
      if (overlay.dense()) {
        overlays.add(x, {a, Type::f32, out, in, 0, false}, y, 1.0f, true);
      } else {
        first.add(x, {a, Type::f32, overlay.rank, in, 0, false}, inner, 1.0f, false);
        overlays.add(inner, {b, Type::f32, out, overlay.rank, 0, false}, y, 1.0f, true);
        inner += overlay.rank;
      }
    }
    if (layer->has_lora()) {
      const Factors factors = parameters.factors(*layer->slot);
      first.add(x, weight_of(factors.a), inner, 1.0f, false);
      const float* outer = inner;
      inner += layer->rank();
      if (layer->has_core()) {
        cores.add(outer, weight_of(factors.core), inner, 1.0f, false);
        outer = inner;
        inner += layer->rank();
      }
      lora.add(outer, weight_of(factors.b), y, layer->scale(), true);
    }
  }
  first.run(backend);
  for (const auto& [layer, y] : layers)
    if (layer->bias != nullptr) backend.add_bias(backend.self, layer->bias, matrix(y, 1, layer->weight.out()));
  overlays.run(backend);
  cores.run(backend);
  lora.run(backend);
}

}  // namespace oneround
