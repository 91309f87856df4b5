#include "models/linear_layer.h"

namespace oneround {

namespace {

Weight overlay_a(const Overlay& o, int64_t in) {
  return {o.a.data(), Type::f32, o.dense() ? static_cast<int64_t>(o.a.size()) / in : o.rank, in, 0, false, true};
}
Weight overlay_b(const Overlay& o, int64_t out) { return {o.b.data(), Type::f32, out, o.rank, 0, false, true}; }

// Dropout is on for a pass of training, then for all of its clients.
bool drops(const LinearLayer& layer, const Pass& pass) {
  return pass.clients[0].dropout_seed != nullptr && layer.has_lora() && layer.slot->dropout > 0;
}

// Factors that cannot be part of the layer's product: dropout stands between x and them, or a core between the two.
bool stands_apart(const LinearLayer& layer, const Pass& pass) { return layer.has_core() || drops(layer, pass); }

// The layer's weight and, where nothing stands between, its factors; `factors` has room for one a client.
LinearPart part_of(const LayerUse& use, float* u, LinearFactors* factors, const Pass& pass) {
  const LinearLayer& layer = *use.layer;
  LinearPart part{layer.weight, use.y, factors, {}, 0};
  if (!layer.has_lora() || stands_apart(layer, pass)) return part;
  for (size_t c = 0; c < pass.clients.size(); c++) {
    const Factors mine = pass.clients[c].parameters->factors(*layer.slot);
    factors[c] = {weight_of(mine.a), weight_of(mine.b)};
  }
  part.u = matrix(u, use.y.rows, layer.rank());
  part.scale = layer.scale();
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

// One client's rows of a layer whose factors stand apart.
struct Apart {
  const LinearLayer* layer;
  Factors factors;
  Segments segments;
  RowGroup rows;
  Dropout dropout;  // rate 0: none

  Matrix of(const Matrix& all) const { return all.slice_rows(rows.first, rows.count); }
  // Dropout counts a segment's rows itself: it takes all rows and the client's segments.
  void drop(const Backend& backend, const Matrix& from, const Matrix& to, bool accumulate) const {
    backend.dropout(backend.self, from, to, dropout, segments, accumulate);
  }
};

template <class Body>
void for_clients_apart(const LinearLayer& layer, const Pass& pass, const Body& body) {
  const bool dropping = drops(layer, pass);
  for (size_t c = 0; c < pass.clients.size(); c++) {
    const PassClient& client = pass.clients[c];
    const Dropout dropout{dropping ? layer.slot->dropout : 0.0f, dropping ? *client.dropout_seed : 0, layer.place};
    body(Apart{&layer, client.parameters->factors(*layer.slot), client.segments, pass.groups.data[c], dropout});
  }
}

// What B is applied to: u [rows, rank], or R u where there is a core.
Matrix core_forward(const Backend& backend, const Apart& apart, const Matrix& u, const LinearScratch& scratch) {
  if (!apart.layer->has_core()) return u;
  const Matrix v = matrix(scratch.core_v, u.rows, u.cols);
  backend.linear(backend.self, u, weight_of(apart.factors.core), v, 1.0f, false);
  return v;
}

// d_v = scale d_y B, d_R += d_v' u, d_u = d_v R: everything is [rows, rank], nothing has the size of a factor.
// `u`, `d_y`, `d_u`: the rows of all clients.
void core_backward(const Backend& backend, const Apart& apart, const Matrix& u, const Matrix& d_y, const Matrix& d_u,
                   const LinearScratch& scratch) {
  const Matrix d_v = matrix(scratch.core_v, u.rows, u.cols);
  backend.linear_d_x(backend.self, apart.of(d_y), weight_of(apart.factors.b), apart.of(d_v), apart.layer->scale(),
                     false);
  backend.linear_d_w(backend.self, d_v, u, apart.factors.d_core, 1.0f, apart.segments);
  backend.linear_d_x(backend.self, apart.of(d_v), weight_of(apart.factors.core), apart.of(d_u), 1.0f, false);
}

// y += scale B [R] A dropout(x) where a core or dropout keeps the factors out of the layer's product.
void apart_forward(const Backend& backend, const LayerUse& use, const Matrix& x, const LinearScratch& scratch,
                   const Pass& pass) {
  const LinearLayer& layer = *use.layer;
  for_clients_apart(layer, pass, [&](const Apart& apart) {
    Matrix input = x;
    if (apart.dropout.rate > 0) {
      input = matrix(scratch.dropped, x.rows, x.cols);
      apart.drop(backend, x, input, false);
    }
    const Matrix u = apart.of(matrix(use.u, x.rows, layer.rank()));
    backend.linear(backend.self, apart.of(input), weight_of(apart.factors.a), u, 1.0f, false);
    backend.linear(backend.self, core_forward(backend, apart, u, scratch), weight_of(apart.factors.b), apart.of(use.y),
                   layer.scale(), true);
  });
}

// The same, backwards, for factors that are not part of the layer's product.
void apart_backward(const Backend& backend, const LayerUse& use, const Matrix& x, const Matrix& d_u, const Matrix& d_x,
                    const LinearScratch& scratch, const Pass& pass) {
  const LinearLayer& layer = *use.layer;
  const Matrix dropped = matrix(scratch.dropped, x.rows, x.cols);
  for_clients_apart(layer, pass, [&](const Apart& apart) {
    const Factors& factors = apart.factors;
    const bool dropping = apart.dropout.rate > 0;
    if (layer.has_core())
      core_backward(backend, apart, matrix(use.u, x.rows, layer.rank()), use.y, d_u, scratch);
    else
      backend.linear_d_x(backend.self, apart.of(use.y), weight_of(factors.b), apart.of(d_u), layer.scale(), false);
    if (factors.d_a.rows > 0) {
      if (dropping) apart.drop(backend, x, dropped, false);
      backend.linear_d_w(backend.self, d_u, dropping ? dropped : x, factors.d_a, 1.0f, apart.segments);
    }
    if (d_x.data == nullptr) return;
    if (!dropping) {
      backend.linear_d_x(backend.self, apart.of(d_u), weight_of(factors.a), apart.of(d_x), 1.0f, true);
      return;
    }
    backend.linear_d_x(backend.self, apart.of(d_u), weight_of(factors.a), apart.of(dropped), 1.0f, false);
    apart.drop(backend, dropped, d_x, true);
  });
}

// G += x' x of every layer whose inputs are wanted, examples one after another.
void add_inputs(const Backend& backend, std::span<const LayerUse> uses, const Matrix& x, const Pass& pass) {
  for (const LayerUse& use : uses) {
    if (!use.layer->has_lora() || pass.inputs[use.layer->place] == nullptr) continue;
    const Matrix sum = matrix(pass.inputs[use.layer->place], x.cols, x.cols);
    backend.linear_d_w(backend.self, x, x, sum, 1.0f, pass.segments);
  }
}

}  // namespace

void linear_forward(const Backend& backend, std::span<const LayerUse> uses, const Matrix& x,
                    const LinearScratch& scratch, const Pass& pass) {
  void* self = backend.self;
  LinearPart parts[kMostParts];
  if (!pass.inputs.empty()) add_inputs(backend, uses, x, pass);
  for (size_t i = 0; i < uses.size(); i++)
    parts[i] = part_of(uses[i], uses[i].u, scratch.factors + i * pass.clients.size(), pass);
  backend.linear_parts(self, x, parts, static_cast<int64_t>(uses.size()), pass.groups);
  for (const LayerUse& use : uses) {
    const LinearLayer& layer = *use.layer;
    if (layer.bias != nullptr) backend.add_bias(self, layer.bias, use.y);
    if (layer.overlay != nullptr) overlay_forward(backend, *layer.overlay, x, use.y, scratch);
    if (layer.has_lora() && stands_apart(layer, pass)) apart_forward(backend, use, x, scratch, pass);
  }
}

void linear_backward(const Backend& backend, std::span<const LayerUse> uses, const Matrix& x, const Matrix& d_x,
                     const LinearScratch& scratch, const Pass& pass) {
  void* self = backend.self;
  LinearPart parts[kMostParts];
  bool factors = false;
  for (size_t i = 0; i < uses.size(); i++) {
    float* d_u = scratch.lora_d + static_cast<int64_t>(i) * x.rows * scratch.widest_rank;
    parts[i] = part_of(uses[i], d_u, scratch.factors + i * pass.clients.size(), pass);
    const Slot* slot = uses[i].layer->slot;
    factors = factors || (parts[i].u.data != nullptr && slot->kind == Slot::Kind::lora);
  }
  if (factors || d_x.data != nullptr)
    backend.linear_parts_d_x(self, parts, static_cast<int64_t>(uses.size()), d_x, false, pass.groups);
  for (size_t i = 0; i < uses.size(); i++) {
    const LinearLayer& layer = *uses[i].layer;
    const Matrix& d_y = uses[i].y;
    if (layer.d_bias != nullptr) backend.bias_backward(self, d_y, layer.d_bias, pass.segments);
    if (layer.d_weight.data != nullptr && layer.weight.transposed)
      backend.linear_d_w(self, x, d_y, layer.d_weight, 1.0f, pass.segments);
    else if (layer.d_weight.data != nullptr)
      backend.linear_d_w(self, d_y, x, layer.d_weight, 1.0f, pass.segments);
    if (d_x.data != nullptr && layer.overlay != nullptr) overlay_backward(backend, *layer.overlay, d_y, d_x, scratch);
    if (!layer.has_lora()) continue;
    const Matrix inner = matrix(uses[i].u, x.rows, layer.rank());
    const bool apart = stands_apart(layer, pass);
    // linear_parts has scaled its u already.
    const float scale = apart ? layer.scale() : 1.0f;
    for (const PassClient& client : pass.clients) {
      const Factors mine = client.parameters->factors(*layer.slot);
      if (mine.d_b.rows > 0) backend.linear_d_w(self, d_y, inner, mine.d_b, scale, client.segments);
      if (!apart && mine.d_a.rows > 0) backend.linear_d_w(self, parts[i].u, x, mine.d_a, 1.0f, client.segments);
    }
    if (apart) apart_backward(backend, uses[i], x, matrix(scratch.lora_d, x.rows, layer.rank()), d_x, scratch, pass);
  }
}

}  // namespace oneround
