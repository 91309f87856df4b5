// attention_row: one query over a cache of keys and values, against the last row of the reference's attention.
#include <cmath>
#include <limits>

#include "op_table.h"
#include "reference/attention.h"
#include "test_data.h"

namespace oneround::test {

namespace {

struct Case {
  int64_t keys;
  AttentionShape shape;
  double size = 1;  // deviation of q and k; scores are of size size^2
  int64_t gap = 0;  // a cache's rows need not lie close
};

std::string shape_of(const Case& c) {
  return "keys=" + std::to_string(c.keys) + ",heads=" + std::to_string(c.shape.heads) + "/" +
         std::to_string(c.shape.kv_heads) + ",head_dim=" + std::to_string(c.shape.head_dim) +
         (c.size != 1 ? ",size=" + std::to_string(static_cast<int>(c.size)) : "") +
         (c.gap ? ",gap=" + std::to_string(c.gap) : "") +
         (c.shape.window ? ",window=" + std::to_string(c.shape.window) : "");
}

// As attention's: a score's absolute error becomes a relative one of its weight, and the weighted sum adds its own.
double tolerance_of(const Case& c) {
  const double scores = std::max(1.0, c.size * c.size);
  return scores * sum_tolerance(c.shape.head_dim) + kUnit * (4 + std::sqrt(static_cast<double>(c.keys)));
}

struct Inputs {
  explicit Inputs(const Case& c)
      : query_width(c.shape.heads * c.shape.head_dim),
        width(c.shape.kv_heads * c.shape.head_dim),
        random(static_cast<uint64_t>(c.keys * 7919 + query_width * 31 + width)),
        q(Floats::normal(1, query_width, random, c.size)),
        k(Floats::normal(c.keys, width, random, c.size, c.gap)),
        v(Floats::normal(c.keys, width, random, 1, c.gap)) {}
  int64_t query_width, width;
  Random random;
  Floats q, k, v;
};

Parts run(const Backend& b, const Case& c, bool poisoned) {
  Inputs in(c);
  // What lies before the window is never read.
  const int64_t unseen = c.shape.window == 0 ? 0 : std::max<int64_t>(0, c.keys - c.shape.window);
  for (int64_t j = 0; poisoned && j < unseen; j++) {
    for (int64_t i = 0; i < in.width; i++) in.k(j, i) = in.v(j, i) = std::numeric_limits<float>::quiet_NaN();
  }
  Floats scores(1, c.shape.heads * c.keys), y(1, in.query_width);
  y.fill(std::numeric_limits<float>::quiet_NaN());
  b.attention_row(b.self, in.q.data(), in.k.view(), in.v.view(), c.shape, scores.data(), y.data());
  scores.check("scores");
  in.q.check("q");
  in.k.check("k");
  in.v.check("v");
  return {y.part("y")};
}

Parts expected(const Case& c) {
  Inputs in(c);
  const Grid<double> query = in.q.grid();
  Grid<double> q(c.keys, in.query_width);
  for (int64_t i = 0; i < in.query_width; i++) q(c.keys - 1, i) = query(0, i);
  const Segment whole{0, c.keys, 0};
  const auto all = reference::attention(q, in.k.grid(), in.v.grid(), c.shape, std::span<const Segment>(&whole, 1));
  Grid<double> last(1, in.query_width);
  for (int64_t i = 0; i < in.query_width; i++) last(0, i) = all.y(c.keys - 1, i);
  return {part_of("y", last)};
}

void row_case(Table& table, const Case& c) {
  table.compare(
      "attention_row", shape_of(c), tolerance_of(c), [&](const Backend& b) { return run(b, c, false); },
      [&] { return expected(c); });
  if (c.shape.window > 0 && c.shape.window < c.keys) {
    table.same_bits(
        "attention_row.window", shape_of(c), [&] { return run(table.on(1), c, false); },
        [&] { return run(table.on(2), c, true); });
  }
}

}  // namespace

void attention_row_rows(Table& table) {
  const std::pair<int64_t, int64_t> heads[] = {{1, 1}, {2, 1}, {2, 2}, {4, 2}, {4, 1}, {9, 3}, {9, 1}};
  int turn = 0;
  for (const int64_t keys : {1, 2, 5, 16, 33, 130, 300}) {
    for (const int64_t head_dim : {2, 8, 12, 24, 64}) {
      const auto [queries, kv] = heads[turn % 7];
      row_case(table, {keys, {queries, kv, head_dim}, 1, turn % 3 == 2 ? 6 : 0});
      turn++;
    }
  }
  // Scores of some tens and of some thousands: softmax becomes one-hot, exp would overflow without its maximum.
  for (const double size : {5, 50}) {
    row_case(table, {29, {4, 2, 12}, size});
    row_case(table, {70, {9, 3, 64}, size});
  }
  // Windows: of one key (y is v), within, at, and beyond the keys.
  for (const int64_t window : {1, 2, 16, 33, 129, 130, 1000}) {
    row_case(table, {130, {9, 3, 24, window}});
    row_case(table, {33, {2, 1, 4, window}, 1, 6});
  }
}

}  // namespace oneround::test
