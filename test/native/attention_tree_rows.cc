// attention and rope over segments that go on from others: the bits of each text laid out whole.
#include <cmath>
#include <limits>

#include "op_table.h"
#include "test_data.h"

namespace oneround::test {

namespace {

struct Node {
  int64_t count;
  int64_t parent;
};

struct Case {
  std::vector<Node> nodes;
  AttentionShape shape;
};

std::string shape_of(const Case& c) {
  std::string s("tree=");
  for (const Node& n : c.nodes) {
    if (s.back() != '=') s.push_back(',');
    s.append(std::to_string(n.count)).append(":").append(std::to_string(n.parent));
  }
  s.append(",heads=").append(std::to_string(c.shape.heads)).append("/").append(std::to_string(c.shape.kv_heads));
  s.append(",head_dim=").append(std::to_string(c.shape.head_dim));
  if (c.shape.window) s.append(",window=").append(std::to_string(c.shape.window));
  return s;
}

std::vector<Segment> segments_of(const Case& c) {
  std::vector<Segment> segments;
  int64_t first = 0;
  for (const Node& n : c.nodes) {
    Segment segment{first, n.count, 0};
    segment.parent = n.parent;
    if (n.parent >= 0) {
      const Segment& parent = segments[static_cast<size_t>(n.parent)];
      segment.start = parent.start + parent.count;
    }
    segments.push_back(segment);
    first += n.count;
  }
  return segments;
}

// Rows of a node's text, from its root's first.
std::vector<int64_t> text_rows(const std::vector<Segment>& segments, size_t node) {
  std::vector<int64_t> rows;
  for (int64_t s = static_cast<int64_t>(node); s >= 0; s = segments[static_cast<size_t>(s)].parent) {
    const Segment& segment = segments[static_cast<size_t>(s)];
    for (int64_t t = segment.count - 1; t >= 0; t--) rows.insert(rows.begin(), segment.first + t);
  }
  return rows;
}

Floats chosen(const Floats& from, const std::vector<int64_t>& rows) {
  const Grid<double> all = from.grid();
  Grid<double> some(static_cast<int64_t>(rows.size()), all.cols);
  for (size_t i = 0; i < rows.size(); i++)
    for (int64_t c = 0; c < all.cols; c++) some(static_cast<int64_t>(i), c) = all(rows[i], c);
  return Floats::of(some);
}

struct Inputs {
  explicit Inputs(const Case& c)
      : segments(segments_of(c)),
        rows(segments.back().first + segments.back().count),
        random(static_cast<uint64_t>(rows * 104729 + c.shape.head_dim)),
        q(Floats::normal(rows, c.shape.heads * c.shape.head_dim, random)),
        k(Floats::normal(rows, c.shape.kv_heads * c.shape.head_dim, random)),
        v(Floats::normal(rows, c.shape.kv_heads * c.shape.head_dim, random)) {}
  std::vector<Segment> segments;
  int64_t rows;
  Random random;
  Floats q, k, v;
};

void tree(Table& table, const Case& c) {
  const auto shared = [&](int threads) {
    Inputs in(c);
    const Backend& b = table.on(threads);
    Floats y(in.rows, c.shape.heads * c.shape.head_dim), log_sum(in.rows, c.shape.heads);
    b.attention(b.self, in.q.view(), in.k.view(), in.v.view(), c.shape, y.view(), log_sum.view(), view(in.segments));
    return Parts{y.part("y"), log_sum.part("log_sum")};
  };
  const auto whole = [&] {
    Inputs in(c);
    const Backend& b = table.on(1);
    Floats y(in.rows, c.shape.heads * c.shape.head_dim), log_sum(in.rows, c.shape.heads);
    for (size_t node = 0; node < in.segments.size(); node++) {
      const std::vector<int64_t> rows = text_rows(in.segments, node);
      const int64_t count = static_cast<int64_t>(rows.size());
      Floats q = chosen(in.q, rows), k = chosen(in.k, rows), v = chosen(in.v, rows);
      Floats mine(count, c.shape.heads * c.shape.head_dim), mine_sum(count, c.shape.heads);
      const Segment one{0, count, 0};
      b.attention(b.self, q.view(), k.view(), v.view(), c.shape, mine.view(), mine_sum.view(), {&one, 1});
      const Segment& segment = in.segments[node];
      for (int64_t t = 0; t < segment.count; t++) {
        for (int64_t i = 0; i < y.view().cols; i++) y(segment.first + t, i) = mine(segment.start + t, i);
        for (int64_t h = 0; h < c.shape.heads; h++) log_sum(segment.first + t, h) = mine_sum(segment.start + t, h);
      }
    }
    return Parts{y.part("y"), log_sum.part("log_sum")};
  };
  table.same_bits(
      "attention.tree", shape_of(c), [&] { return shared(2); }, whole);
  table.same_bits(
      "attention.tree_threads", shape_of(c), [&] { return shared(3); }, [&] { return shared(1); });
}

void rope_tree(Table& table, const Case& c) {
  const auto rotated = [&](bool with_parents) {
    Inputs in(c);
    const Backend& b = table.on(1);
    const int64_t half = c.shape.head_dim / 2;
    Random random(1);
    Floats angles = Floats::normal(512, half, random), cosine(512, half), sine(512, half);
    for (int64_t t = 0; t < 512; t++)
      for (int64_t i = 0; i < half; i++) {
        cosine(t, i) = std::cos(angles(t, i));
        sine(t, i) = std::sin(angles(t, i));
      }
    const auto turn = [&](const Matrix& x, const float* cos, const float* sin, Segments segments) {
      b.rope(b.self, x, c.shape.heads, c.shape.head_dim, cos, sin, 1.0f, segments);
    };
    if (with_parents) {
      turn(in.q.view(), cosine.data(), sine.data(), view(in.segments));
    } else {
      for (const Segment& s : in.segments) {
        const Segment one{0, s.count, 0};
        turn(in.q.view().slice_rows(s.first, s.count), cosine.data() + s.start * half, sine.data() + s.start * half,
             {&one, 1});
      }
    }
    return Parts{in.q.part("x")};
  };
  table.same_bits(
      "rope.tree", shape_of(c), [&] { return rotated(true); }, [&] { return rotated(false); });
}

}  // namespace

void attention_tree_rows(Table& table) {
  const AttentionShape shapes[] = {{1, 1, 2, 0}, {4, 2, 12, 0}, {9, 3, 64, 0}, {6, 2, 24, 9}};
  const std::vector<Node> trees[] = {
      {{1, -1}, {1, 0}},
      {{30, -1}, {5, 0}, {1, 0}, {9, 0}, {17, 0}},
      // Solved examples, questions, choices; then texts that share nothing.
      {{130, -1}, {40, 0}, {3, 1}, {1, 1}, {7, 1}, {70, 0}, {2, 5}, {65, 5}, {33, -1}, {64, -1}, {64, 9}},
      {{16, -1}, {16, 0}, {16, 1}, {16, 2}, {16, 3}, {5, 4}, {6, 2}, {300, 0}},
  };
  for (const AttentionShape& shape : shapes)
    for (const std::vector<Node>& nodes : trees) {
      tree(table, {nodes, shape});
      rope_tree(table, {nodes, shape});
    }
}

}  // namespace oneround::test
