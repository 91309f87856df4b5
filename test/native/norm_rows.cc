// rms_norm, rms_norm_again, rms_norm_backward.
#include <algorithm>
#include <cmath>
#include <limits>

#include "op_table.h"
#include "reference/complex_step.h"
#include "reference/rms_norm.h"
#include "test_data.h"

namespace oneround::test {

namespace {

using reference::Complex;
using reference::convert;

constexpr int64_t kRows[] = {1, 2, 3, 5, 7, 13, 29, 64, 130, 300};
constexpr int64_t kCols[] = {1, 33, 48, 65, 257, 576};
constexpr float kEpsilon = 1e-5f;

// A sum of squares has no cancellation; half its relative error, and three more roundings. Vector sums are shorter
// chains than the scalar one of K terms, whose error grows at most like sqrt(K) roundings.
double forward_tolerance(int64_t k) { return kUnit * (6 + 0.5 * std::sqrt(static_cast<double>(k))); }

std::string shape_of(int64_t m, int64_t k, int64_t gap) {
  return "M=" + std::to_string(m) + ",K=" + std::to_string(k) + (gap ? ",gap=" + std::to_string(gap) : "");
}

struct Inputs {
  Inputs(int64_t m, int64_t k, int64_t gap, uint64_t seed)
      : random(seed),
        x(Floats::normal(m, k, random, 2.5, gap)),
        weight(Floats::normal(1, k, random)),
        d_y(Floats::normal(m, k, random, 1, gap)),
        inv_rms(m, 1) {
    const auto forward = reference::rms_norm(x.grid(), weight.grid(), kEpsilon);
    for (int64_t r = 0; r < m; r++) inv_rms(r, 0) = static_cast<float>(forward.inv_rms(r, 0));
  }
  Random random;
  Floats x, weight, d_y, inv_rms;
};

void forward(Table& table, int64_t m, int64_t k, int64_t gap) {
  const uint64_t seed = static_cast<uint64_t>(m * 1000 + k);
  table.compare(
      "rms_norm", shape_of(m, k, gap), forward_tolerance(k),
      [&](const Backend& b) {
        Inputs in(m, k, gap, seed);
        Floats y(m, k, gap), inv_rms(m, 1);
        b.rms_norm(b.self, in.x.view(), in.weight.data(), kEpsilon, y.view(), inv_rms.data());
        return Parts{y.part("y"), inv_rms.part("inv_rms")};
      },
      [&] {
        Inputs in(m, k, gap, seed);
        const auto out = reference::rms_norm(in.x.grid(), in.weight.grid(), kEpsilon);
        return Parts{part_of("y", out.y), part_of("inv_rms", out.inv_rms)};
      });
  table.same_bits(
      "rms_norm_again", shape_of(m, k, gap),
      [&] {
        const Backend& b = table.on(1);
        Inputs in(m, k, gap, seed);
        Floats y(m, k, gap), inv_rms(m, 1);
        b.rms_norm(b.self, in.x.view(), in.weight.data(), kEpsilon, y.view(), inv_rms.data());
        return Parts{y.part("y")};
      },
      [&] {
        const Backend& b = table.on(3);
        Inputs in(m, k, gap, seed);
        Floats first(m, k, gap), inv_rms(m, 1), y(m, k, gap);
        b.rms_norm(b.self, in.x.view(), in.weight.data(), kEpsilon, first.view(), inv_rms.data());
        b.rms_norm_again(b.self, in.x.view(), in.weight.data(), inv_rms.data(), y.view());
        return Parts{y.part("y")};
      });
}

void backward(Table& table, std::span<const int64_t> lengths, int64_t k, int64_t gap) {
  const int64_t m = rows_of(lengths);
  const auto segments = segments_of(lengths);
  const uint64_t seed = static_cast<uint64_t>(m * 1000 + k + 5);
  // d_x is added to random numbers of size 1, d_weight likewise: what was there must be kept.
  const auto run = [&](const Backend& b, bool wanted, int calls) {
    Inputs in(m, k, gap, seed);
    Floats d_x = Floats::normal(m, k, in.random, 1, gap), d_weight = Floats::normal(1, k, in.random);
    float* const d_w = wanted ? d_weight.data() : nullptr;
    if (calls == 1) {
      b.rms_norm_backward(b.self, in.x.view(), in.weight.data(), in.inv_rms.data(), in.d_y.view(), d_x.view(), d_w,
                          view(segments));
    } else {
      for (const Segment& s : segments) {
        const Segment own{0, s.count, 0};
        b.rms_norm_backward(b.self, in.x.view().slice_rows(s.first, s.count), in.weight.data(),
                            in.inv_rms.data() + s.first, in.d_y.view().slice_rows(s.first, s.count),
                            d_x.view().slice_rows(s.first, s.count), d_w, {&own, 1});
      }
    }
    return Parts{d_x.part("d_x"), d_weight.part("d_weight")};
  };
  const bool stepped = m * k * k <= 3'000'000;
  const auto expected = [&] {
    Inputs in(m, k, gap, seed);
    const Grid<double> d_x = Floats::normal(m, k, in.random).grid(), d_weight = Floats::normal(1, k, in.random).grid();
    const Grid<double> x = in.x.grid(), weight = in.weight.grid(), d_y = in.d_y.grid();
    auto out = reference::rms_norm_backward(x, weight, kEpsilon, d_y);
    if (stepped) {
      const Grid<Complex> wc = convert<Complex>(weight), xc = convert<Complex>(x);
      out.d_x = reference::complex_step_by_row(x, [&](const Grid<Complex>& moved) {
        return reference::row_losses(reference::rms_norm(moved, wc, kEpsilon).y, d_y);
      });
      out.d_weight = reference::complex_step_by_row(weight, [&](const Grid<Complex>& moved) {
        return std::vector<Complex>{reference::total_loss(reference::rms_norm(xc, moved, kEpsilon).y, d_y)};
      });
    }
    for (size_t i = 0; i < d_x.data.size(); i++) out.d_x.data[i] += d_x.data[i];
    for (size_t i = 0; i < d_weight.data.size(); i++) out.d_weight.data[i] += d_weight.data[i];
    return Parts{part_of("d_x", out.d_x), part_of("d_weight", out.d_weight, std::sqrt(static_cast<double>(k)))};
  };
  const std::string shape = shape_of(m, k, gap) + ",segments=" + join(lengths) + (stepped ? ",complex-step" : "");
  // Two terms that partly cancel, each with a dot product of K; d_weight sums M rows.
  table.compare(
      "rms_norm_backward", shape, sum_tolerance(std::max(m, k)), [&](const Backend& b) { return run(b, true, 1); },
      expected);
  table.same_bits(
      "rms_norm_backward.segments", shape, [&] { return run(table.on(1), true, 1); },
      [&] { return run(table.on(2), true, static_cast<int>(segments.size()) + 1); });
  // Without d_weight: the same d_x, and the weight's gradient untouched.
  table.row("rms_norm_backward.no_weight", shape, 0, [&] {
    const Parts with = run(table.on(1), true, 1), without = run(table.on(1), false, 1);
    Inputs in(m, k, gap, seed);
    Floats::normal(m, k, in.random);
    const Parts before{Floats::normal(1, k, in.random).part("d_weight")};
    return std::max(bit_difference({with[0]}, {without[0]}), bit_difference({without[1]}, before));
  });
}

// A row's y and inv_rms are the same alone and between NaN rows.
void alone(Table& table, int64_t m, int64_t k) {
  const auto rows = [&](bool one_by_one) {
    const Backend& b = table.on(one_by_one ? 1 : 3);
    Inputs in(m, k, 0, 99);
    Floats y(m, k), inv_rms(m, 1);
    for (int64_t r = 0; r < m; r += one_by_one ? 1 : m) {
      const int64_t count = one_by_one ? 1 : m;
      b.rms_norm(b.self, in.x.view().slice_rows(r, count), in.weight.data(), kEpsilon, y.view().slice_rows(r, count),
                 inv_rms.data() + r);
    }
    return Parts{y.part("y"), inv_rms.part("inv_rms")};
  };
  table.same_bits(
      "rms_norm.rows_alone", shape_of(m, k, 0), [&] { return rows(false); }, [&] { return rows(true); });
}

// Heads of queries or keys (Qwen3): a head is a slice of columns, with the bits of the same numbers by themselves, and
// nothing beside it is written.
void columns(Table& table, int64_t m, int64_t heads, int64_t head_dim) {
  const auto run = [&](bool sliced) {
    const Backend& b = table.on(sliced ? 2 : 1);
    Inputs in(m, heads * head_dim, 5, 7);
    Floats y(m, heads * head_dim, 5), d_x = Floats::normal(m, heads * head_dim, in.random, 1, 5), d_weight(1, head_dim);
    Floats inv(heads, m);
    const Segment all{0, m, 0};
    for (int64_t h = 0; h < heads; h++) {
      const auto head = [&](Floats& of) { return of.view().slice_cols(h * head_dim, head_dim); };
      float* const rows = inv.data() + h * m;
      if (sliced) {
        b.rms_norm(b.self, head(in.x), in.weight.data(), kEpsilon, head(y), rows);
        b.rms_norm_backward(b.self, head(in.x), in.weight.data(), rows, head(in.d_y), head(d_x), d_weight.data(),
                            {&all, 1});
        continue;
      }
      const auto copy = [&](const Matrix& from, const Matrix& to) {
        for (int64_t r = 0; r < m; r++) std::copy_n(from.row(r), head_dim, to.row(r));
      };
      Floats x(m, head_dim), own_y(m, head_dim), own_d_y(m, head_dim), own_d_x(m, head_dim);
      copy(head(in.x), x.view());
      copy(head(in.d_y), own_d_y.view());
      copy(head(d_x), own_d_x.view());
      b.rms_norm(b.self, x.view(), in.weight.data(), kEpsilon, own_y.view(), rows);
      b.rms_norm_backward(b.self, x.view(), in.weight.data(), rows, own_d_y.view(), own_d_x.view(), d_weight.data(),
                          {&all, 1});
      copy(own_y.view(), head(y));
      copy(own_d_x.view(), head(d_x));
    }
    return Parts{y.part("y"), d_x.part("d_x"), d_weight.part("d_weight"), inv.part("inv_rms")};
  };
  table.same_bits(
      "rms_norm.columns", shape_of(m, heads * head_dim, 5) + ",heads=" + std::to_string(heads),
      [&] { return run(true); }, [&] { return run(false); });
}

}  // namespace

void norm_rows(Table& table) {
  for (int64_t m : {1, 7, 64}) {
    for (int64_t head_dim : {2, 12, 24, 33, 128}) columns(table, m, 3, head_dim);
  }
  int turn = 0;
  for (int64_t m : kRows) {
    for (int64_t k : kCols) forward(table, m, k, turn++ % 3 == 2 ? 7 : 0);
  }
  const std::vector<std::vector<int64_t>> lists = {{1}, {2}, {1, 3, 7}, {13, 1, 29, 64}, {300}};
  for (const auto& lengths : lists) {
    for (int64_t k : kCols) backward(table, lengths, k, turn++ % 3 == 2 ? 7 : 0);
  }
  alone(table, 29, 65);
  alone(table, 130, 576);
  // Rows of tiny and of large numbers: epsilon decides the first, and the second must not overflow.
  for (const auto& [size, name] : {std::pair{1e-6, "tiny"}, {1e15, "large"}}) {
    table.compare(
        "rms_norm", std::string("M=3,K=65,") + name, forward_tolerance(65),
        [size = size](const Backend& b) {
          Random random(4);
          Floats x = Floats::normal(3, 65, random, size), weight = Floats::normal(1, 65, random), y(3, 65),
                 inv_rms(3, 1);
          b.rms_norm(b.self, x.view(), weight.data(), kEpsilon, y.view(), inv_rms.data());
          return Parts{y.part("y"), inv_rms.part("inv_rms")};
        },
        [size = size] {
          Random random(4);
          const Floats x = Floats::normal(3, 65, random, size), weight = Floats::normal(1, 65, random);
          const auto out = reference::rms_norm(x.grid(), weight.grid(), kEpsilon);
          return Parts{part_of("y", out.y), part_of("inv_rms", out.inv_rms)};
        });
  }
}

}  // namespace oneround::test
