// linear, forward: y (+)= scale * x w' against double, and a row's freedom from its neighbours.
#include <cmath>
#include <limits>

#include "op_table.h"
#include "reference/linear.h"
#include "test_data.h"

namespace oneround::test {

namespace {

struct Case {
  int64_t m, k, n;
  Type type;
  float scale = 1;
  bool accumulate = false;
  int64_t gap = 0;
  int64_t interleaved_heads = 0;
  int64_t offset = 0;
};

std::string shape_of(const Case& c) {
  std::string s =
      "M=" + std::to_string(c.m) + ",K=" + std::to_string(c.k) + ",N=" + std::to_string(c.n) + "," + name_of(c.type);
  if (c.scale != 1) s += ",scale=" + std::to_string(c.scale).substr(0, 5);
  if (c.accumulate) s += ",accumulate";
  if (c.gap) s += ",gap=" + std::to_string(c.gap);
  if (c.interleaved_heads) s += ",interleaved=" + std::to_string(c.interleaved_heads);
  if (c.offset) s += ",offset=" + std::to_string(c.offset);
  return s;
}

Random random_of(const Case& c) {
  return Random(static_cast<uint64_t>(c.m * 1000003 + c.k * 1009 + c.n * 31 + static_cast<int64_t>(c.type)));
}

void forward(Table& table, const Case& c) {
  const auto make = [c] {
    Random random = random_of(c);
    StoredWeight w(c.type, c.n, c.k, random, c.interleaved_heads, c.offset);
    Floats x = Floats::normal(c.m, c.k, random, 1, c.gap);
    Floats y = Floats::normal(c.m, c.n, random, 1, c.gap);  // what is there: added to, or overwritten
    return std::tuple{std::move(w), std::move(x), std::move(y)};
  };
  table.compare(
      "linear", shape_of(c), table.product_tolerance(sum_tolerance(c.k)),
      [&](const Backend& b) {
        auto [w, x, y] = make();
        if (!c.accumulate) y.fill(std::numeric_limits<float>::quiet_NaN());
        b.linear(b.self, x.view(), w.view(), y.view(), c.scale, c.accumulate);
        x.check("x");
        return Parts{y.part("y")};
      },
      [&] {
        auto [w, x, y] = make();
        Grid<double> sum = reference::linear(x.grid(), w.values(), c.scale);
        // The expected size of the result, so that a single element that happens to cancel is not held to more.
        const double floor =
            std::fabs(c.scale) * norm(x.grid()) * norm(w.values()) / std::sqrt(static_cast<double>(c.k));
        if (c.accumulate) {
          const Grid<double> before = y.grid();
          for (size_t i = 0; i < sum.data.size(); i++) sum.data[i] += before.data[i];
        }
        return Parts{part_of("y", sum, floor)};
      });
}

// The same rows in one call and in calls of 1, 2, 3, 5, 7, .. rows; then with every other row NaN.
void alone(Table& table, const Case& c) {
  const auto all = [&](const Backend& b, Floats& x, const StoredWeight& w, int64_t first, int64_t count) {
    Floats y(c.m, c.n);
    b.linear(b.self, x.view().slice_rows(first, count), w.view(), y.view().slice_rows(first, count), c.scale, false);
    return y;
  };
  Random random = random_of(c);
  const StoredWeight w(c.type, c.n, c.k, random);
  Floats x = Floats::normal(c.m, c.k, random);
  table.same_bits(
      "linear.rows_alone", shape_of(c), [&] { return Parts{all(table.on(2), x, w, 0, c.m).part("y")}; },
      [&] {
        Floats y(c.m, c.n);
        const int64_t counts[] = {1, 2, 3, 5, 7, 11, 13, 29, 4, 8, 16};
        int64_t first = 0;
        for (size_t i = 0; first < c.m; i++) {
          const int64_t count = std::min(counts[i % std::size(counts)], c.m - first);
          Floats some = all(table.on(1), x, w, first, count);
          for (int64_t r = first; r < first + count; r++) {
            for (int64_t n = 0; n < c.n; n++) y(r, n) = some(r, n);
          }
          first += count;
        }
        return Parts{y.part("y")};
      });
  const int64_t kept = c.m / 2;
  const auto row = [&](Floats y) {
    Grid<double> one(1, c.n);
    for (int64_t n = 0; n < c.n; n++) one(0, n) = y(kept, n);
    return Parts{part_of("row", one)};
  };
  table.same_bits(
      "linear.neighbours", shape_of(c), [&] { return row(all(table.on(1), x, w, 0, c.m)); },
      [&] {
        Floats poisoned = x;
        poisoned.fill(std::numeric_limits<float>::quiet_NaN());
        for (int64_t k = 0; k < c.k; k++) poisoned(kept, k) = x(kept, k);
        return row(all(table.on(3), poisoned, w, 0, c.m));
      });
}

}  // namespace

void linear_rows(Table& table) {
  const int64_t ms[] = {1, 2, 3, 5, 7, 13, 29, 64, 130, 300};
  const std::pair<int64_t, int64_t> plain[] = {{1, 1},   {33, 1},  {1, 33},   {33, 7},
                                               {48, 65}, {65, 48}, {257, 33}, {576, 64}};
  const std::pair<int64_t, int64_t> blocks[] = {{32, 1}, {32, 33}, {64, 7}, {96, 65}, {288, 48}, {576, 130}};
  int turn = 0;
  for (Type type : kStorageTypes) {
    const bool block = block_elements(type) > 1;
    for (const auto& [k, n] : block ? std::span<const std::pair<int64_t, int64_t>>(blocks) : plain) {
      for (int64_t m : ms) {
        if (m * k * n > 6'000'000) continue;
        Case c{m, k, n, type};
        if (turn % 3 == 1) c.scale = -1.75f;
        if (turn % 2 == 1) c.accumulate = true;
        if (turn % 4 == 2) c.gap = 7;
        c.offset = turn % 3;
        turn++;
        forward(table, c);
      }
    }
    // Beyond any block of a tiled product, in every direction.
    forward(table, {300, 576, 257, type});
    forward(table, {5, 1536, 96, type, 0.5f, true});
    forward(table, {13, 64, 1030, type});
    forward(table, {1100, 32, 40, type});
    forward(table, {3, 2400, 40, type});
    // Rows that llama.cpp interleaves, for query and key heads.
    for (const auto& [heads, head_dim] :
         {std::pair<int64_t, int64_t>{1, 2}, {2, 8}, {3, 12}, {4, 24}, {9, 64}, {3, 64}}) {
      Case c{7, 96, heads * head_dim, type};
      c.interleaved_heads = heads;
      forward(table, c);
    }
    alone(table, {130, block ? 288 : 257, 65, type});
    alone(table, {61, 64, 257, type, 0.25f});
  }
}

}  // namespace oneround::test
