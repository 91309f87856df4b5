// rope: forward, its inverse, and the gradient (the inverse applied to d_y).
#include <cmath>

#include "op_table.h"
#include "reference/complex_step.h"
#include "reference/rope.h"
#include "test_data.h"

namespace oneround::test {

namespace {

// Two products and a sum an element, on inputs that are exact: three roundings.
constexpr double kTolerance = 3 * kUnit;

// cos and sin of position * base^(-2i/D), rounded to float as the model's tables are.
struct Angles {
  Angles(int64_t positions, int64_t head_dim) : cos(positions, head_dim / 2), sin(positions, head_dim / 2) {
    for (int64_t p = 0; p < positions; p++) {
      for (int64_t i = 0; i < head_dim / 2; i++) {
        const double angle =
            static_cast<double>(p) * std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
        cos(p, i) = static_cast<float>(std::cos(angle));
        sin(p, i) = static_cast<float>(std::sin(angle));
      }
    }
  }
  Floats cos, sin;
};

void rope_case(Table& table, std::span<const int64_t> lengths, int64_t heads, int64_t head_dim, int64_t gap) {
  const int64_t m = rows_of(lengths), k = heads * head_dim;
  const auto segments = segments_of(lengths);
  const std::string shape = "segments=" + join(lengths) + ",heads=" + std::to_string(heads) +
                            ",head_dim=" + std::to_string(head_dim) + (gap ? ",gap=" + std::to_string(gap) : "");
  const auto input = [=] {
    Random random(static_cast<uint64_t>(m * 37 + k));
    return Floats::normal(m, k, random, 1, gap);
  };
  const auto turned = [=](const Backend& b, float direction) {
    Angles angles(m, head_dim);
    Floats x = input();
    b.rope(b.self, x.view(), heads, head_dim, angles.cos.data(), angles.sin.data(), direction, view(segments));
    return x;
  };
  table.compare(
      "rope", shape, kTolerance, [&](const Backend& b) { return Parts{turned(b, 1).part("x")}; },
      [&] {
        Angles angles(m, head_dim);
        return Parts{part_of(
            "x", reference::rope(input().grid(), heads, head_dim, angles.cos.grid(), angles.sin.grid(), 1, segments))};
      });
  // d_y is this row's input: the gradient is that turned backwards, and must be what a complex step says.
  const bool stepped = m * k * k <= 3'000'000;
  table.row("rope.backward", shape + (stepped ? ",complex-step" : ""), kTolerance, [&] {
    Angles angles(m, head_dim);
    const Grid<double> d_y = input().grid(), cos = angles.cos.grid(), sin = angles.sin.grid();
    Grid<double> expected = reference::rope(d_y, heads, head_dim, cos, sin, -1, segments);
    if (stepped) {
      expected = reference::complex_step_by_row(Grid<double>(m, k), [&](const Grid<reference::Complex>& x) {
        return reference::row_losses(reference::rope(x, heads, head_dim, cos, sin, 1, segments), d_y);
      });
    }
    return relative_error({turned(table.on(2), -1).part("x")}, {part_of("x", expected)});
  });
  // There and back: twice the roundings, and cos^2 + sin^2 of the rounded tables.
  table.row("rope.inverse", shape, 4 * kTolerance, [&] {
    const Backend& b = table.on(1);
    Angles angles(m, head_dim);
    Floats x = turned(b, 1);
    b.rope(b.self, x.view(), heads, head_dim, angles.cos.data(), angles.sin.data(), -1, view(segments));
    return relative_error({x.part("x")}, {input().part("x")});
  });
  // A segment alone, first in memory, gets the same bits: positions restart.
  table.same_bits(
      "rope.segments", shape, [&] { return Parts{turned(table.on(1), 1).part("x")}; },
      [&] {
        const Backend& b = table.on(1);
        Angles angles(m, head_dim);
        Floats x = input();
        for (const Segment& s : segments) {
          const Segment own{0, s.count, 0};
          b.rope(b.self, x.view().slice_rows(s.first, s.count), heads, head_dim, angles.cos.data(), angles.sin.data(),
                 1, {&own, 1});
        }
        return Parts{x.part("x")};
      });
}

}  // namespace

void rope_rows(Table& table) {
  const std::vector<std::vector<int64_t>> lists = {{1}, {2}, {5}, {1, 3, 7}, {13, 1, 29, 64}, {300}};
  int turn = 0;
  for (const auto& lengths : lists) {
    for (int64_t head_dim : {2, 8, 12, 24, 64}) {
      const int64_t heads[] = {1, 2, 4, 9};
      rope_case(table, lengths, heads[turn % 4], head_dim, turn % 3 == 2 ? 5 : 0);
      turn++;
    }
  }
}

}  // namespace oneround::test
