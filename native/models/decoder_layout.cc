// Where Decoder's buffers lie: the same lines count them for the budget and take them from the arena.
#include <algorithm>

#include "models/decoder.h"
#include "models/linear_row.h"

namespace oneround {

void Decoder::lay_out(Arena* arena) {
  const DecoderShape& s = base_->shape();
  const int64_t m = limits_.rows;
  const auto rows_by = [&](int64_t cols) { return matrix(arena->take<float>(m * cols), m, cols); };
  int64_t widest_rank = 0, widest_core = 0, widest_overlay = 0, shared_rank[kLinearPlaces] = {};
  bool drops = false;
  const bool separate = limits_.training && !limits_.recompute;
  const int64_t sets = separate ? s.layers : 1;
  // A set serves one block, or all.
  const auto rounds = [&](int64_t set, bool BlockWeights::*which) {
    if (separate) return blocks_[static_cast<size_t>(set)].*which;
    return std::any_of(blocks_.begin(), blocks_.end(), [&](const BlockWeights& block) { return block.*which; });
  };
  // f32 in each set, or where it is kept rounded bf16 in each and f32 once for all.
  const auto kept_by = [&](int64_t cols, bool rounded, Matrix* once, uint16_t** half) {
    if (!rounded) return rows_by(cols);
    *half = arena->take<uint16_t>(m * cols);
    if (once->rows == 0) *once = rows_by(cols);
    return *once;
  };
  Matrix attended, gate, up;
  if (limits_.training && limits_.recompute)
    for (int64_t i = 0; i < s.layers; i++) inputs_.push_back(rows_by(s.hidden));
  kept_.assign(static_cast<size_t>(sets), {});
  for (int64_t i = 0; i < sets; i++) {
    BlockActivations& kept = kept_[static_cast<size_t>(i)];
    kept.x = rows_by(s.hidden);
    kept.qkv = rows_by(s.qkv_width());
    if (s.query_key_norm) {
      kept.projected = rows_by(s.qkv_width());
      kept.head_inv = arena->take<float>(m * (s.heads + s.kv_heads));
    }
    kept.attended = kept_by(s.query_width(), rounds(i, &BlockWeights::rounds_attended), &attended, &kept.attended16);
    kept.log_sum = rows_by(s.heads);
    kept.middle = rows_by(s.hidden);
    const bool rounds_feed = rounds(i, &BlockWeights::rounds_feed);
    if (!s.gelu) kept.gate = kept_by(s.intermediate, rounds_feed, &gate, &kept.gate16);
    kept.up = kept_by(s.intermediate, rounds_feed, &up, &kept.up16);
    kept.attention_rows = {arena->take<float>(m), arena->take<float>(m)};
    kept.feed_rows = {arena->take<float>(m), arena->take<float>(m)};
  }
  for (int64_t i = 0; i < s.layers; i++) {
    BlockWeights& block = blocks_[static_cast<size_t>(i)];
    BlockActivations& kept = kept_[static_cast<size_t>(separate ? i : 0)];
    // in the order of LinearPlace
    const LinearLayer* layers[kLinearPlaces] = {&block.q, &block.k,    &block.v,  &block.fused,
                                                &block.o, &block.gate, &block.up, &block.down};
    for (int at = 0; at < kLinearPlaces; at++) {
      const LinearLayer& layer = *layers[at];
      if (layer.has_lora() && separate) kept.lora_u[at] = arena->take<float>(m * layer.rank());
      shared_rank[at] = std::max(shared_rank[at], layer.rank());
      if (layer.has_lora()) widest_rank = std::max(widest_rank, layer.rank());
      if (layer.has_core()) widest_core = std::max(widest_core, layer.rank());
      if (layer.overlay != nullptr && !layer.overlay->dense())
        widest_overlay = std::max(widest_overlay, layer.overlay->rank);
      drops = drops || (layer.has_lora() && layer.slot->dropout > 0);
    }
  }
  if (!separate)
    for (int at = 0; at < kLinearPlaces; at++) kept_[0].lora_u[at] = arena->take<float>(m * shared_rank[at]);
  inner_ = arena->take<float>(
      std::max<int64_t>(1, kRowLayers * (kRowFactors * std::max(widest_rank, widest_overlay) + widest_core)));
  final_ = rows_by(s.hidden);
  if (limits_.training) d_ = rows_by(s.hidden);

  // A pass is in its blocks or in its head: their scratch shares one place.
  const int64_t place = arena->place();
  scratch_.normed = rows_by(s.hidden);
  scratch_.active = rows_by(s.intermediate);
  if (limits_.training) {
    scratch_.d_normed = rows_by(s.hidden);
    scratch_.d_active = rows_by(s.intermediate);
    scratch_.d_attended = rows_by(s.query_width());
    scratch_.d_qkv = rows_by(s.qkv_width());
    if (s.query_key_norm) scratch_.d_projected = rows_by(s.qkv_width());
    scratch_.linear.lora_d = arena->take<float>(kMostParts * m * widest_rank);
    scratch_.linear.widest_rank = widest_rank;
    if (drops) scratch_.linear.dropped = arena->take<float>(m * std::max({s.hidden, s.intermediate, s.query_width()}));
  }
  scratch_.linear.factors = arena->take<LinearFactors>(kMostParts * limits_.clients);
  scratch_.linear.overlay_u = arena->take<float>(m * widest_overlay);
  scratch_.linear.core_v = arena->take<float>(m * widest_core);
  arena->back_to(place);
  const int64_t head_rows = std::min(kHeadRows, m);
  const auto head_rows_by = [&](int64_t cols) { return matrix(arena->take<float>(head_rows * cols), head_rows, cols); };
  head_scratch_.chosen = head_rows_by(s.hidden);
  head_scratch_.normed = head_rows_by(s.hidden);
  head_scratch_.d_normed = head_rows_by(s.hidden);
  head_scratch_.d_chosen = head_rows_by(s.hidden);
  head_scratch_.logits = head_rows_by(s.vocabulary);
  head_scratch_.norm_rows = {arena->take<float>(kHeadRows), arena->take<float>(kHeadRows)};
  head_scratch_.rows = arena->take<int32_t>(kHeadRows);
  head_scratch_.labels = arena->take<int32_t>(kHeadRows);
  head_scratch_.segments = arena->take<Segment>(kHeadRows);
  head_scratch_.d_losses = arena->take<float>(kHeadRows);
  arena->skip_used();
  cached_segments_ = arena->take<Segment>(m);
  if (s.learned_positions > 0) {
    position_ids_ = arena->take<int32_t>(m);
  } else {
    cos_ = arena->take<float>(limits_.longest_segment * s.head_dim / 2);
    sin_ = arena->take<float>(limits_.longest_segment * s.head_dim / 2);
  }
}

int64_t Decoder::activation_bytes() const {
  Decoder counting;
  counting.base_ = base_;
  counting.limits_ = limits_;
  counting.blocks_ = blocks_;
  counting.head_trains_ = head_trains_;
  Arena arena;
  counting.lay_out(&arena);
  return arena.used();
}

int64_t Decoder::widest() const {
  const DecoderShape& s = base_->shape();
  return std::max({s.vocabulary, s.hidden, s.intermediate, s.qkv_width()});
}

}  // namespace oneround
