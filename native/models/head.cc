#include "models/head.h"

#include <algorithm>

namespace oneround {

namespace {

// Labelled rows of some examples, collected until the chunk is full. Examples are kept whole where they fit; longer
// ones are cut at multiples of kHeadRows from their own start.
struct Chunk {
  int64_t rows = 0;
  int64_t segments = 0;
};

void run_chunk(const BlockContext& context, const HeadWeights& weights, const HeadScratch& scratch, const Matrix& x,
               const Chunk& chunk, float d_loss, const Matrix& d_x, double* losses) {
  const Backend& backend = *context.backend;
  const auto top = [&](const Matrix& m) { return m.slice_rows(0, chunk.rows); };
  const Segments segments{scratch.segments, chunk.segments};
  double row_losses[kHeadRows];
  backend.gather_rows(backend.self, x, scratch.rows, top(scratch.chosen));
  norm_forward(backend, weights.norm, top(scratch.chosen), context.shape->norm_epsilon, top(scratch.normed),
               scratch.norm_rows);
  backend.linear(backend.self, top(scratch.normed), weights.vocabulary, top(scratch.logits), 1.0f, false);
  backend.cross_entropy(backend.self, top(scratch.logits), scratch.labels, d_loss, row_losses);
  for (int64_t i = 0; i < chunk.rows; i++) losses[scratch.rows[i]] = row_losses[i];
  if (d_loss == 0.0f) return;
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
                 const int32_t* labels, float d_loss, const Matrix& d_x, double* losses,
                 const std::atomic<bool>& abort) {
  if (d_loss != 0.0f) context.backend->fill_zero(context.backend->self, d_x.data, d_x.rows * d_x.stride);
  Chunk chunk;
  const auto flush = [&] {
    if (chunk.rows > 0) run_chunk(context, weights, scratch, x, chunk, d_loss, d_x, losses);
    chunk = {};
  };
  for (int64_t s = 0; s < context.segments.count; s++) {
    const Segment& segment = context.segments.data[s];
    const int32_t* mine = labels + segment.first;
    const int64_t labelled = std::count_if(mine, mine + segment.count, [](int32_t label) { return label >= 0; });
    if (labelled == 0) continue;
    if (chunk.rows + labelled > kHeadRows) flush();
    scratch.segments[chunk.segments++] = {chunk.rows, 0, segment.dropout_counter};
    for (int64_t t = 0; t < segment.count; t++) {
      if (mine[t] < 0) continue;
      if (chunk.rows == kHeadRows) {
        flush();
        if (abort.load(std::memory_order_relaxed)) return stopped();
        scratch.segments[chunk.segments++] = {0, 0, segment.dropout_counter};
      }
      scratch.rows[chunk.rows] = static_cast<int32_t>(segment.first + t);
      scratch.labels[chunk.rows] = mine[t];
      chunk.rows++;
      scratch.segments[chunk.segments - 1].count++;
    }
    if (abort.load(std::memory_order_relaxed)) return stopped();
  }
  flush();
  return Status::ok();
}

void head_logits(const BlockContext& context, const HeadWeights& weights, const HeadScratch& scratch, const Matrix& x,
                 const Matrix& y) {
  const Backend& backend = *context.backend;
  for (int64_t first = 0; first < x.rows; first += kHeadRows) {
    const int64_t count = std::min(kHeadRows, x.rows - first);
    const Matrix normed = scratch.normed.slice_rows(0, count);
    norm_forward(backend, weights.norm, x.slice_rows(first, count), context.shape->norm_epsilon, normed,
                 scratch.norm_rows);
    backend.linear(backend.self, normed, weights.vocabulary, y.slice_rows(first, count), 1.0f, false);
  }
}

}  // namespace oneround
