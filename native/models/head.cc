#include "models/head.h"

#include <algorithm>

namespace oneround {

namespace {

// Labelled rows of some examples, collected until the chunk is full. Examples are kept whole where they fit; longer
// ones are cut at multiples of its rows from their own start.
struct Chunk {
  int64_t rows = 0;
  int64_t segments = 0;
};

// Losses of a chunk's rows, and logits into their gradients: neighbours of one client together.
void cross_entropy(const Backend& backend, const HeadScratch& scratch, const Chunk& chunk, bool wants_gradient,
                   double* losses) {
  for (int64_t s = 0; s < chunk.segments;) {
    const int64_t first = scratch.segments[s].first;
    const float d_loss = wants_gradient ? scratch.d_losses[s] : 0.0f;
    int64_t rows = 0;
    while (s < chunk.segments && (!wants_gradient || scratch.d_losses[s] == d_loss))
      rows += scratch.segments[s++].count;
    backend.cross_entropy(backend.self, scratch.logits.slice_rows(first, rows), scratch.labels + first, d_loss,
                          losses + first);
  }
}

void run_chunk(const BlockContext& context, const HeadWeights& weights, const HeadScratch& scratch, const Matrix& x,
               const Chunk& chunk, const Matrix& d_x, double* losses) {
  const Backend& backend = *context.backend;
  const auto top = [&](const Matrix& m) { return m.slice_rows(0, chunk.rows); };
  const Segments segments{scratch.segments, chunk.segments};
  double row_losses[kHeadRows];
  backend.gather_rows(backend.self, x, scratch.rows, top(scratch.chosen));
  norm_forward(backend, weights.norm, top(scratch.chosen), context.shape->norm_epsilon, top(scratch.normed),
               scratch.norm_rows);
  backend.linear(backend.self, top(scratch.normed), weights.vocabulary, top(scratch.logits), 1.0f, false);
  cross_entropy(backend, scratch, chunk, d_x.data != nullptr, row_losses);
  for (int64_t i = 0; i < chunk.rows; i++) losses[scratch.rows[i]] = row_losses[i];
  if (d_x.data == nullptr) return;
  if (weights.d_vocabulary.data != nullptr)
    backend.linear_d_w(backend.self, top(scratch.logits), top(scratch.normed), weights.d_vocabulary, 1.0f, segments);
  backend.linear_d_x(backend.self, top(scratch.logits), weights.vocabulary, top(scratch.d_normed), 1.0f, false);
  backend.fill_zero(backend.self, scratch.d_chosen.data, chunk.rows * scratch.d_chosen.stride);
  norm_backward(backend, weights.norm, top(scratch.chosen), scratch.norm_rows, top(scratch.d_normed),
                top(scratch.d_chosen), segments);
  backend.scatter_rows(backend.self, top(scratch.d_chosen), scratch.rows, d_x);
}

}  // namespace

Status head_loss(const BlockContext& context, const HeadWeights& weights, const HeadScratch& scratch, const Matrix& x,
                 const int32_t* labels, const Matrix& d_x, double* losses, const std::atomic<bool>& abort) {
  if (d_x.data != nullptr) context.backend->fill_zero(context.backend->self, d_x.data, d_x.rows * d_x.stride);
  const int64_t most = scratch.logits.rows;
  Chunk chunk;
  const auto flush = [&] {
    if (chunk.rows > 0) run_chunk(context, weights, scratch, x, chunk, d_x, losses);
    chunk = {};
  };
  const auto begin = [&](const Segment& segment, float d_loss) {
    scratch.d_losses[chunk.segments] = d_loss;
    scratch.segments[chunk.segments++] = {chunk.rows, 0, segment.dropout_counter};
  };
  const auto add = [&](const Segment& segment, float d_loss) {
    const int32_t* mine = labels + segment.first;
    const int64_t labelled = std::count_if(mine, mine + segment.count, [](int32_t label) { return label >= 0; });
    if (labelled == 0) return Status::ok();
    if (chunk.rows + labelled > most) flush();
    begin(segment, d_loss);
    for (int64_t t = 0; t < segment.count; t++) {
      if (mine[t] < 0) continue;
      if (chunk.rows == most) {
        flush();
        if (abort.load(std::memory_order_relaxed)) return stopped();
        begin(segment, d_loss);
      }
      scratch.rows[chunk.rows] = static_cast<int32_t>(segment.first + t);
      scratch.labels[chunk.rows] = mine[t];
      chunk.rows++;
      scratch.segments[chunk.segments - 1].count++;
    }
    return abort.load(std::memory_order_relaxed) ? stopped() : Status::ok();
  };
  for (const PassClient& client : context.pass.clients)
    for (int64_t s = 0; s < client.segments.count; s++)
      if (Status status = add(client.segments.data[s], client.d_loss); !status.is_ok()) return status;
  flush();
  return Status::ok();
}

void head_logits(const BlockContext& context, const HeadWeights& weights, const HeadScratch& scratch, const Matrix& x,
                 const Matrix& y) {
  const Backend& backend = *context.backend;
  const int64_t most = scratch.logits.rows;
  for (int64_t first = 0; first < x.rows; first += most) {
    const int64_t count = std::min(most, x.rows - first);
    const Matrix normed = scratch.normed.slice_rows(0, count);
    norm_forward(backend, weights.norm, x.slice_rows(first, count), context.shape->norm_epsilon, normed,
                 scratch.norm_rows);
    backend.linear(backend.self, normed, weights.vocabulary, y.slice_rows(first, count), 1.0f, false);
  }
}

}  // namespace oneround
