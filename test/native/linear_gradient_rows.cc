// linear, backward: d_x (+)= scale * d_y w and d_w += scale * d_y' x, segment by segment.
#include <cmath>
#include <limits>

#include "op_table.h"
#include "reference/complex_step.h"
#include "reference/linear.h"
#include "test_data.h"

namespace oneround::test {

namespace {

using reference::Complex;
using reference::convert;

// Complex multiplications that one row of the table may spend; above it the written-out gradient in double is taken,
// which the reference rows hold against complex steps.
constexpr int64_t kAffordable = 3'000'000;

std::string shape_of(int64_t m, int64_t k, int64_t n, const std::string& rest) {
  return "M=" + std::to_string(m) + ",K=" + std::to_string(k) + ",N=" + std::to_string(n) + "," + rest;
}

void d_x_row(Table& table, int64_t m, int64_t k, int64_t n, Type type, int turn) {
  const float scale = turn % 3 == 1 ? -1.75f : 1;
  const bool accumulate = turn % 2 == 1;
  const int64_t gap = turn % 4 == 2 ? 5 : 0;
  const int64_t heads = turn % 5 == 4 && n % 6 == 0 ? 3 : 0;
  const auto make = [=] {
    Random random(static_cast<uint64_t>(m * 77 + k * 13 + n));
    StoredWeight w(type, n, k, random, heads, turn % 3);
    Floats d_y = Floats::normal(m, n, random, 1, gap);
    Floats d_x = Floats::normal(m, k, random, 1, gap);
    return std::tuple{std::move(w), std::move(d_y), std::move(d_x)};
  };
  const bool stepped = m * k * k * n <= kAffordable;
  std::string rest = name_of(type);
  if (scale != 1) rest += ",scale=-1.75";
  if (accumulate) rest += ",accumulate";
  if (gap) rest += ",gap=5";
  if (heads) rest += ",interleaved=3";
  if (stepped) rest += ",complex-step";
  table.compare(
      "linear_d_x", shape_of(m, k, n, rest), table.product_tolerance(sum_tolerance(n)),
      [&](const Backend& b) {
        auto [w, d_y, d_x] = make();
        if (!accumulate) d_x.fill(std::numeric_limits<float>::quiet_NaN());
        b.linear_d_x(b.self, d_y.view(), w.view(), d_x.view(), scale, accumulate);
        d_y.check("d_y");
        return Parts{d_x.part("d_x")};
      },
      [&] {
        auto [w, d_y, d_x] = make();
        const Grid<double> gradient = d_y.grid();
        Grid<double> sum = reference::linear_d_x(gradient, w.values(), scale);
        if (stepped) {
          // The loss does not depend on where x is, so any x will do.
          const Grid<Complex> wc = convert<Complex>(w.values());
          sum = reference::complex_step_by_row(Grid<double>(m, k), [&](const Grid<Complex>& x) {
            return reference::row_losses(reference::linear(x, wc, scale), gradient);
          });
        }
        const double floor = std::fabs(scale) * norm(gradient) * norm(w.values()) / std::sqrt(static_cast<double>(n));
        if (accumulate) {
          const Grid<double> before = d_x.grid();
          for (size_t i = 0; i < sum.data.size(); i++) sum.data[i] += before.data[i];
        }
        return Parts{part_of("d_x", sum, floor)};
      });
}

void d_x_alone(Table& table, Type type) {
  const int64_t m = 64, n = 65, k = block_elements(type) > 1 ? 96 : 257;
  Random random(41);
  const StoredWeight w(type, n, k, random);
  Floats d_y = Floats::normal(m, n, random);
  const auto run = [&](const Backend& b, int64_t step) {
    Floats d_x(m, k);
    for (int64_t first = 0; first < m; first += step) {
      const int64_t count = std::min(step, m - first);
      b.linear_d_x(b.self, d_y.view().slice_rows(first, count), w.view(), d_x.view().slice_rows(first, count), 1,
                   false);
    }
    return Parts{d_x.part("d_x")};
  };
  for (int64_t step : {1, 3, 13}) {
    table.same_bits(
        "linear_d_x.rows_alone", shape_of(m, k, n, name_of(type)) + ",by=" + std::to_string(step),
        [&] { return run(table.on(2), m); }, [&] { return run(table.on(1), step); });
  }
}

void d_w_rows(Table& table, std::span<const int64_t> lengths, int64_t k, int64_t n, float scale, int64_t gap) {
  const int64_t m = rows_of(lengths);
  const auto segments = segments_of(lengths);
  const auto make = [=] {
    Random random(static_cast<uint64_t>(m * 101 + k * 7 + n));
    Floats x = Floats::normal(m, k, random, 1, gap), d_y = Floats::normal(m, n, random, 1, gap);
    Floats d_w = Floats::normal(n, k, random, 1, gap);
    return std::tuple{std::move(x), std::move(d_y), std::move(d_w)};
  };
  const bool stepped = m * k * k * n <= kAffordable;
  const std::string shape = shape_of(m, k, n, "segments=" + join(lengths)) + (scale != 1 ? ",scale=0.75" : "") +
                            (gap ? ",gap=3" : "") + (stepped ? ",complex-step" : "");
  table.compare(
      "linear_d_w", shape, table.product_tolerance(sum_tolerance(m)),
      [&](const Backend& b) {
        auto [x, d_y, d_w] = make();
        b.linear_d_w(b.self, d_y.view(), x.view(), d_w.view(), scale, view(segments));
        x.check("x");
        d_y.check("d_y");
        return Parts{d_w.part("d_w")};
      },
      [&] {
        auto [x, d_y, d_w] = make();
        const Grid<double> gradient = d_y.grid();
        Grid<double> sum = reference::linear_d_w(gradient, x.grid(), scale);
        if (stepped) {
          // Row n of w moves column n of y only: one loss a row of w.
          const Grid<Complex> xc = convert<Complex>(x.grid());
          sum = reference::complex_step_by_row(Grid<double>(n, k), [&](const Grid<Complex>& w) {
            const Grid<Complex> y = reference::linear(xc, w, scale);
            std::vector<Complex> losses(static_cast<size_t>(n));
            for (int64_t i = 0; i < m; i++) {
              for (int64_t j = 0; j < n; j++) losses[static_cast<size_t>(j)] += gradient(i, j) * y(i, j);
            }
            return losses;
          });
        }
        const double floor = norm(gradient) * norm(x.grid()) * scale / std::sqrt(static_cast<double>(m));
        const Grid<double> before = d_w.grid();
        for (size_t i = 0; i < sum.data.size(); i++) sum.data[i] += before.data[i];
        return Parts{part_of("d_w", sum, floor)};
      });
  // A segment adds the same numbers whatever shares the call: its own call, with its rows first in memory or not.
  const auto one_by_one = [&](bool sliced) {
    auto [x, d_y, d_w] = make();
    const Backend& b = table.on(1);
    for (const Segment& segment : segments) {
      if (sliced) {
        const Segment own{0, segment.count, segment.dropout_counter};
        b.linear_d_w(b.self, d_y.view().slice_rows(segment.first, segment.count),
                     x.view().slice_rows(segment.first, segment.count), d_w.view(), scale, {&own, 1});
      } else {
        b.linear_d_w(b.self, d_y.view(), x.view(), d_w.view(), scale, {&segment, 1});
      }
    }
    return Parts{d_w.part("d_w")};
  };
  const auto together = [&] {
    auto [x, d_y, d_w] = make();
    const Backend& b = table.on(2);
    b.linear_d_w(b.self, d_y.view(), x.view(), d_w.view(), scale, view(segments));
    return Parts{d_w.part("d_w")};
  };
  table.same_bits("linear_d_w.segments", shape, together, [&] { return one_by_one(false); });
  table.same_bits("linear_d_w.segments_moved", shape, together, [&] { return one_by_one(true); });
}

}  // namespace

void linear_gradient_rows(Table& table) {
  int turn = 0;
  for (Type type : kStorageTypes) {
    const bool block = block_elements(type) > 1;
    for (int64_t m : {1, 2, 3, 5, 7, 13, 29, 64, 130, 300}) {
      for (const auto& [k, n] :
           block ? std::vector<std::pair<int64_t, int64_t>>{{32, 6}, {64, 33}, {288, 48}, {32, 257}}
                 : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {33, 6}, {48, 65}, {257, 33}, {65, 576}}) {
        if (m * k * n <= 6'000'000) d_x_row(table, m, k, n, type, turn++);
      }
    }
    d_x_row(table, 300, 576, 258, type, 4);
    d_x_row(table, 7, 96, 1536, type, 0);
    d_x_row(table, 1100, 64, 32, type, 1);
    d_x_row(table, 3, 64, 2400, type, 0);
    d_x_alone(table, type);
  }
  const std::vector<std::vector<int64_t>> lists = {{1},   {2},      {5}, {1, 1, 1}, {1, 3, 7}, {13, 1, 29, 64},
                                                   {130}, {64, 300}};
  for (const auto& lengths : lists) {
    for (const auto& [k, n] : {std::pair<int64_t, int64_t>{1, 1}, {33, 8}, {48, 65}, {257, 16}, {16, 257}, {65, 7}}) {
      d_w_rows(table, lengths, k, n, turn % 2 ? 0.75f : 1, turn % 3 == 2 ? 3 : 0);
      turn++;
    }
  }
  d_w_rows(table, lists[5], 576, 257, 1, 0);
  d_w_rows(table, lists[4], 48, 1100, 1, 0);
  d_w_rows(table, std::vector<int64_t>{1500, 900}, 40, 16, 1, 0);
}

}  // namespace oneround::test
