// Causal attention where segments go on from others: the keys of a segment are those of all segments above it, then its
// own. One (segment, key-value head) a task: it packs the keys and values down to this segment once, and every child
// adds its own behind them. An element's sum runs over keys in their order, so a text's bits are those it has alone.
#include <cmath>

#include "ops/attention_scratch.h"
#include "ops/entries.h"

namespace oneround {

namespace {

constexpr int kMostWidth = 32;

// The rows of one key-value head along a way from a root, by position.
struct Way {
  const Matrix& k;
  const Matrix& v;
  int64_t column;
  const Segment* segments[kMostAbove + 1];
  int64_t depth = 0;

  int64_t row(int64_t position) const {
    int64_t d = depth - 1;
    while (segments[d]->start > position) d--;
    return segments[d]->first + position - segments[d]->start;
  }
  const uint8_t* key(int64_t position) const { return reinterpret_cast<const uint8_t*>(k.row(row(position)) + column); }
  const uint8_t* value(int64_t position) const {
    return reinterpret_cast<const uint8_t*>(v.row(row(position)) + column);
  }
};

// Keys and values at positions [first, end) join the panels. A panel of keys, or a pair of values, that was begun is
// packed again from its start.
void pack_way(const CpuContext& context, const WorkerScratch& mine, const AttentionScratch& scratch, const Way& way,
              int64_t first, int64_t end, int64_t dim, int64_t capacity) {
  const int64_t width = context.width();
  for (int64_t j = first / width * width; j < end; j += width) {
    const uint8_t* rows[kMostWidth];
    const int count = static_cast<int>(std::min(width, end - j));
    for (int i = 0; i < count; i++) rows[i] = way.key(j + i);
    pack_rows_as_columns(context, mine, rows, count, 0, dim, scratch.k_columns + j * packed_units(context, dim));
  }
  for (int64_t at = first / 2 * 2; at < end; at += kDepth) {
    const uint8_t* rows[kDepth];
    const int64_t count = std::min(kDepth, end - at);
    for (int64_t i = 0; i < count; i++) rows[i] = way.value(at + i);
    for (int64_t j = 0; j < dim; j += width)
      pack_rows(context, rows, count, j, static_cast<int>(std::min(width, dim - j)),
                scratch.v_rows + j * packed_units(context, capacity) + packed_units(context, at) * width);
  }
}

struct Pass {
  const Matrix &q, &y, &log_sum;
  AttentionShape shape;
  int64_t capacity;  // rows of the packed values
};

// All queries of a segment, whose keys are packed, for the query heads of one key-value head.
void attend(const CpuContext& context, const WorkerScratch& mine, const AttentionScratch& scratch, const Pass& pass,
            const Segment& segment, int64_t kv_head) {
  const int64_t dim = pass.shape.head_dim, group = pass.shape.heads / pass.shape.kv_heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
    for (int64_t first = 0; first < segment.count; first += kQueryBlock) {
      const int64_t queries = std::min(kQueryBlock, segment.count - first), at = segment.first + first;
      const int64_t keys = segment.start + first + queries;
      const Matrix q = pass.q.slice_rows(at, queries).slice_cols(head * dim, dim);
      const Matrix y = pass.y.slice_rows(at, queries).slice_cols(head * dim, dim);
      multiply_packed(context, mine, queries, keys, dim, q.data, q.stride, 1, scratch.k_columns, dim, scratch.scores,
                      scratch.score_stride, scale, false);
      float sums[kQueryBlock];
      softmax_rows(context.kernels, scratch, segment.start + first, queries, pass.shape.window, sums,
                   pass.log_sum.slice_rows(at, queries), head);
      multiply_packed(context, mine, queries, dim, keys, scratch.scores, scratch.score_stride, 1, scratch.v_rows,
                      pass.capacity, y.data, y.stride, 1.0f, false);
      for (int64_t i = 0; i < queries; i++) context.kernels.scale(1.0f / sums[i], dim, y.row(i));
    }
  }
}

// Calls body(child) for the segments that go on from segment s. Its descendants follow it at once.
template <class Body>
void for_children(Segments segments, int64_t s, const Body& body) {
  for (int64_t c = s + 1; c < segments.count && segments.data[c].parent >= s; c++)
    if (segments.data[c].parent == s) body(segments.data[c]);
}

}  // namespace

void attention_tree(CpuContext& context, const Matrix& q, const Matrix& k, const Matrix& v, AttentionShape shape,
                    const Matrix& y, const Matrix& log_sum, Segments segments) {
  const int64_t dim = shape.head_dim;
  context.pool.for_each(segments.count * shape.kv_heads, [&](int64_t task, int worker) {
    const int64_t index = task / shape.kv_heads, kv_head = task % shape.kv_heads;
    const Segment& segment = segments.data[index];
    const int64_t end = segment.start + segment.count;
    int64_t longest = segment.parent < 0 ? end : 0;
    for_children(segments, index, [&](const Segment& child) { longest = std::max(longest, end + child.count); });
    if (longest == 0) return;  // a leaf: its parent's task has seen to it
    Way way{k, v, kv_head * dim, {}, 0};
    for (int64_t s = index; s >= 0; s = segments.data[s].parent) way.depth++;
    for (int64_t s = index, d = way.depth; s >= 0; s = segments.data[s].parent) way.segments[--d] = &segments.data[s];
    const WorkerScratch& mine = context.scratch[static_cast<size_t>(worker)];
    const AttentionScratch scratch = divide_attention_scratch(context, mine.attention, longest, shape);
    const Pass pass{q, y, log_sum, shape, longest};
    pack_way(context, mine, scratch, way, 0, end, dim, longest);
    if (segment.parent < 0) attend(context, mine, scratch, pass, segment, kv_head);
    way.depth++;
    for_children(segments, index, [&](const Segment& child) {
      way.segments[way.depth - 1] = &child;
      pack_way(context, mine, scratch, way, end, end + child.count, dim, longest);
      attend(context, mine, scratch, pass, child, kv_head);
    });
  });
}

}  // namespace oneround
