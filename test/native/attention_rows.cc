// attention and attention_backward: grouped heads, segments of mixed lengths, scores of any size.
#include <algorithm>
#include <cmath>
#include <limits>

#include "op_table.h"
#include "reference/attention.h"
#include "reference/complex_step.h"
#include "test_data.h"

namespace oneround::test {

namespace {

using reference::Complex;
using reference::convert;

struct Case {
  std::vector<int64_t> lengths;
  AttentionShape shape;
  double size = 1;  // deviation of q and k; scores are of size size^2
  int64_t gap = 0;
};

std::string shape_of(const Case& c) {
  return "segments=" + join(c.lengths) + ",heads=" + std::to_string(c.shape.heads) + "/" +
         std::to_string(c.shape.kv_heads) + ",head_dim=" + std::to_string(c.shape.head_dim) +
         (c.size != 1 ? ",size=" + std::to_string(static_cast<int>(c.size)) : "") +
         (c.gap ? ",gap=" + std::to_string(c.gap) : "") +
         (c.shape.window ? ",window=" + std::to_string(c.shape.window) : "");
}

// A score of size s^2 carries an absolute error of kUnit * s^2 * (a dot product's), and exp makes that a relative one
// of the weights; the weighted sum over the segment then adds its own.
double tolerance_of(const Case& c) {
  const double longest = static_cast<double>(*std::max_element(c.lengths.begin(), c.lengths.end()));
  const double scores = std::max(1.0, c.size * c.size);
  return scores * sum_tolerance(c.shape.head_dim) + kUnit * (4 + std::sqrt(longest));
}

struct Inputs {
  explicit Inputs(const Case& c)
      : m(rows_of(c.lengths)),
        qd(c.shape.heads * c.shape.head_dim),
        kd(c.shape.kv_heads * c.shape.head_dim),
        random(static_cast<uint64_t>(m * 7919 + qd * 31 + kd)),
        segments(segments_of(c.lengths)),
        q(Floats::normal(m, qd, random, c.size, c.gap)),
        k(Floats::normal(m, kd, random, c.size, c.gap)),
        v(Floats::normal(m, kd, random, 1, c.gap)),
        d_y(Floats::normal(m, qd, random, 1, c.gap)) {}
  int64_t m, qd, kd;
  Random random;
  std::vector<Segment> segments;
  Floats q, k, v, d_y;
};

Parts forward(const Backend& b, const Case& c) {
  Inputs in(c);
  Floats y(in.m, in.qd, c.gap), log_sum(in.m, c.shape.heads);
  y.fill(std::numeric_limits<float>::quiet_NaN());
  b.attention(b.self, in.q.view(), in.k.view(), in.v.view(), c.shape, y.view(), log_sum.view(), view(in.segments));
  in.q.check("q");
  in.k.check("k");
  in.v.check("v");
  return {y.part("y"), log_sum.part("log_sum")};
}

// y and log_sum come from the reference, so that the row measures the backward pass alone.
struct Kept {
  Kept(const Case& c, Inputs& in)
      : forward(reference::attention(in.q.grid(), in.k.grid(), in.v.grid(), c.shape, in.segments)),
        y(Floats::of(forward.y, c.gap)),
        log_sum(Floats::of(forward.log_sum)) {}
  reference::Attention<double> forward;
  Floats y, log_sum;
};

Parts backward(const Backend& b, const Case& c, bool one_by_one) {
  Inputs in(c);
  Kept kept(c, in);
  Floats d_q(in.m, in.qd, c.gap), d_k(in.m, in.kd, c.gap), d_v(in.m, in.kd, c.gap);
  for (Floats* out : {&d_q, &d_k, &d_v}) out->fill(std::numeric_limits<float>::quiet_NaN());
  if (one_by_one) {
    for (const Segment& s : in.segments) {
      const auto rows = [&](Floats& x) { return x.view().slice_rows(s.first, s.count); };
      const Segment own{0, s.count, 0};
      b.attention_backward(b.self, rows(in.q), rows(in.k), rows(in.v), c.shape, rows(kept.y), rows(kept.log_sum),
                           rows(in.d_y), rows(d_q), rows(d_k), rows(d_v), {&own, 1});
    }
  } else {
    b.attention_backward(b.self, in.q.view(), in.k.view(), in.v.view(), c.shape, kept.y.view(), kept.log_sum.view(),
                         in.d_y.view(), d_q.view(), d_k.view(), d_v.view(), view(in.segments));
  }
  return {d_q.part("d_q"), d_k.part("d_k"), d_v.part("d_v")};
}

// Where a row sees only itself d_q and d_k are exactly 0: their errors are held against a part of the size of the
// terms that cancel (d_p ~ sqrt(D), k / sqrt(D) ~ size); `terms`: the query heads that are summed in an element. A
// twentieth is less than the gradients' own size in any longer segment of this table.
double cancelled(const Case& c, int64_t elements, int64_t terms) {
  const bool single = *std::max_element(c.lengths.begin(), c.lengths.end()) == 1 || c.shape.window == 1;
  return (single ? 0.25 : 0.05) * c.size * std::sqrt(static_cast<double>(elements * terms));
}

Parts expected_gradients(const Case& c, bool stepped) {
  Inputs in(c);
  const Grid<double> q = in.q.grid(), k = in.k.grid(), v = in.v.grid(), d_y = in.d_y.grid();
  auto out = reference::attention_backward(q, k, v, c.shape, d_y, in.segments);
  if (stepped) {
    const Grid<Complex> qc = convert<Complex>(q), kc = convert<Complex>(k), vc = convert<Complex>(v);
    out.d_q = reference::complex_step_by_row(q, [&](const Grid<Complex>& moved) {
      return reference::row_losses(reference::attention(moved, kc, vc, c.shape, in.segments).y, d_y);
    });
    out.d_k = reference::complex_step(k, [&](const Grid<Complex>& moved) {
      return reference::total_loss(reference::attention(qc, moved, vc, c.shape, in.segments).y, d_y);
    });
    out.d_v = reference::complex_step(v, [&](const Grid<Complex>& moved) {
      return reference::total_loss(reference::attention(qc, kc, moved, c.shape, in.segments).y, d_y);
    });
  }
  const int64_t group = c.shape.heads / c.shape.kv_heads;
  return {part_of("d_q", out.d_q, cancelled(c, in.m * in.qd, 1)),
          part_of("d_k", out.d_k, cancelled(c, in.m * in.kd, group)), part_of("d_v", out.d_v)};
}

// Complex multiplications of a full complex step: every element of k and v, each a whole attention.
double step_cost(const Case& c) {
  double pairs = 0;
  for (int64_t n : c.lengths) pairs += static_cast<double>(n * (n + 1)) / 2;
  const double once = 2 * pairs * static_cast<double>(c.shape.heads * c.shape.head_dim);
  return once * static_cast<double>(2 * rows_of(c.lengths) * c.shape.kv_heads * c.shape.head_dim);
}

void attention_case(Table& table, const Case& c) {
  const std::string shape = shape_of(c);
  table.compare(
      "attention", shape, tolerance_of(c), [&](const Backend& b) { return forward(b, c); },
      [&] {
        Inputs in(c);
        Kept kept(c, in);
        // log_sum is 0 where a row's only score is 0; its error is that of a score.
        const double floor = c.size * c.size * std::sqrt(static_cast<double>(in.m * c.shape.heads));
        return Parts{part_of("y", kept.forward.y), part_of("log_sum", kept.forward.log_sum, floor)};
      });
  const bool stepped = step_cost(c) <= 3e6;
  // d_p - sum(p d_p) cancels in part, and log_sum and y arrive rounded to float.
  table.compare(
      "attention_backward", shape + (stepped ? ",complex-step" : ""), 4 * tolerance_of(c),
      [&](const Backend& b) { return backward(b, c, false); }, [&] { return expected_gradients(c, stepped); });
  if (c.lengths.size() > 1) {
    table.same_bits(
        "attention_backward.segments", shape, [&] { return backward(table.on(3), c, false); },
        [&] { return backward(table.on(1), c, true); });
  }
}

// Every segment by itself, with all other rows NaN, gives the bits of the shared call.
void alone(Table& table, const Case& c) {
  const auto run = [&](bool one_by_one) {
    Inputs in(c);
    const Backend& b = table.on(one_by_one ? 1 : 2);
    Floats y(in.m, in.qd), log_sum(in.m, c.shape.heads);
    if (!one_by_one) {
      b.attention(b.self, in.q.view(), in.k.view(), in.v.view(), c.shape, y.view(), log_sum.view(), view(in.segments));
      return Parts{y.part("y"), log_sum.part("log_sum")};
    }
    for (const Segment& s : in.segments) {
      Inputs own(c);
      for (Floats* x : {&own.q, &own.k, &own.v}) {
        const Grid<double> all = x->grid();
        x->fill(std::numeric_limits<float>::quiet_NaN());
        for (int64_t r = s.first; r < s.first + s.count; r++) {
          for (int64_t i = 0; i < all.cols; i++) (*x)(r, i) = static_cast<float>(all(r, i));
        }
      }
      b.attention(b.self, own.q.view(), own.k.view(), own.v.view(), c.shape, y.view(), log_sum.view(), {&s, 1});
    }
    return Parts{y.part("y"), log_sum.part("log_sum")};
  };
  table.same_bits(
      "attention.segments", shape_of(c), [&] { return run(false); }, [&] { return run(true); });
}

// A row sees only rows before it: cutting the segment after it changes none of its bits.
void prefix(Table& table, const Case& c, int64_t count) {
  const auto run = [&](int64_t rows) {
    Inputs in(c);
    const Backend& b = table.on(1);
    const Segment own{0, rows, 0};
    Floats y(rows, in.qd), log_sum(rows, c.shape.heads);
    b.attention(b.self, in.q.view().slice_rows(0, rows), in.k.view().slice_rows(0, rows),
                in.v.view().slice_rows(0, rows), c.shape, y.view(), log_sum.view(), {&own, 1});
    Grid<double> first(count, in.qd);
    for (int64_t r = 0; r < count; r++) {
      for (int64_t i = 0; i < in.qd; i++) first(r, i) = y(r, i);
    }
    return Parts{part_of("y", first)};
  };
  table.same_bits(
      "attention.prefix", shape_of(c) + ",first=" + std::to_string(count), [&] { return run(c.lengths[0]); },
      [&] { return run(count); });
}

}  // namespace

void attention_rows(Table& table) {
  const std::vector<std::vector<int64_t>> lists = {{1}, {2}, {5}, {1, 1, 1}, {1, 3, 7}, {13, 1, 29, 64}, {130}};
  const std::pair<int64_t, int64_t> heads[] = {{1, 1}, {2, 1}, {2, 2}, {4, 2}, {4, 1}, {9, 3}, {9, 1}};
  int turn = 0;
  for (const auto& lengths : lists) {
    for (int64_t head_dim : {2, 8, 12, 24, 64}) {
      for (int i = 0; i < 2; i++, turn++) {
        const auto [queries, keys] = heads[turn % 7];
        attention_case(table, {lengths, {queries, keys, head_dim}, 1, turn % 4 == 3 ? 6 : 0});
      }
    }
  }
  attention_case(table, {{300, 20}, {9, 3, 64}});
  attention_case(table, {{257}, {4, 1, 24}});
  // Complex steps through longer segments of one narrow head.
  attention_case(table, {{33}, {1, 1, 2}});
  attention_case(table, {{16, 1, 17}, {2, 1, 2}});
  // Scores of some tens and of some thousands: softmax becomes one-hot, exp would overflow without its maximum.
  for (double size : {5, 50}) {
    attention_case(table, {{1, 29, 13}, {4, 2, 12}, size});
    attention_case(table, {{70}, {9, 3, 64}, size});
  }
  // Windows: shorter than a segment, of one row (y is v), around a block of queries, and longer than any segment.
  for (int64_t window : {1, 2, 7, 16, 33, 64, 1000}) {
    attention_case(table, {{1, 6, 3}, {2, 1, 4, window}});
    attention_case(table, {{13, 1, 29, 64}, {4, 2, 12, window}, 1, window == 7 ? 6 : 0});
    attention_case(table, {{130}, {9, 3, 24, window}});
  }
  attention_case(table, {{300, 20}, {4, 1, 64, 100}});
  alone(table, {{13, 1, 29, 64}, {9, 3, 64, 7}});
  prefix(table, {{130}, {4, 2, 24, 33}}, 65);
  alone(table, {{13, 1, 29, 64}, {9, 3, 64}});
  alone(table, {{5, 70, 2, 33}, {4, 2, 12}});
  prefix(table, {{64}, {9, 3, 64}}, 29);
  prefix(table, {{130}, {4, 2, 24}}, 65);
  prefix(table, {{130}, {2, 1, 12}}, 1);
}

}  // namespace oneround::test
