// linear_row: one row of linear for generation, y (+)= scale * x w' against double, in every storage type.
#include <cmath>
#include <limits>

#include "op_table.h"
#include "reference/linear.h"
#include "test_data.h"

namespace oneround::test {

namespace {

struct Case {
  int64_t k, n;
  Type type;
  float scale = 1;
  bool accumulate = false;
  bool transposed = false;
  int64_t interleaved_heads = 0;
  int64_t offset = 0;
};

std::string shape_of(const Case& c) {
  std::string s = "K=" + std::to_string(c.k) + ",N=" + std::to_string(c.n) + "," + name_of(c.type);
  if (c.scale != 1) s += ",scale=" + std::to_string(c.scale).substr(0, 5);
  if (c.accumulate) s += ",accumulate";
  if (c.transposed) s += ",transposed";
  if (c.interleaved_heads) s += ",interleaved=" + std::to_string(c.interleaved_heads);
  if (c.offset) s += ",offset=" + std::to_string(c.offset);
  return s;
}

struct Inputs {
  explicit Inputs(const Case& c)
      : random(static_cast<uint64_t>(c.k * 1009 + c.n * 31 + static_cast<int64_t>(c.type))),
        w(c.transposed ? StoredWeight::transposed(c.type, c.n, c.k, random, c.offset)
                       : StoredWeight(c.type, c.n, c.k, random, c.interleaved_heads, c.offset)),
        x(Floats::normal(1, c.k, random)),
        y(Floats::normal(1, c.n, random)) {}
  Random random;
  StoredWeight w;
  Floats x, y;  // y: what is there, added to or overwritten
};

void row_case(Table& table, const Case& c) {
  table.compare(
      "linear_row", shape_of(c), sum_tolerance(c.k),
      [&](const Backend& b) {
        Inputs in(c);
        if (!c.accumulate) in.y.fill(std::numeric_limits<float>::quiet_NaN());
        b.linear_row(b.self, in.x.data(), in.w.view(), in.y.data(), c.scale, c.accumulate);
        in.x.check("x");
        return Parts{in.y.part("y")};
      },
      [&] {
        Inputs in(c);
        Grid<double> sum = reference::linear(in.x.grid(), in.w.values(), c.scale);
        // The expected size of the result, so that a single element that happens to cancel is not held to more.
        const double floor = std::fabs(static_cast<double>(c.scale)) * norm(in.x.grid()) * norm(in.w.values()) /
                             std::sqrt(static_cast<double>(c.k));
        if (c.accumulate) {
          const Grid<double> before = in.y.grid();
          for (size_t i = 0; i < sum.data.size(); i++) sum.data[i] += before.data[i];
        }
        return Parts{part_of("y", sum, floor)};
      });
}

// Sizes of K that are whole blocks of the type: around a vector's width, a task's outputs and the converted part.
void cases_of(Table& table, Type type) {
  const int64_t block = block_elements(type);
  int turn = 0;
  for (const int64_t blocks : {1, 3, 18}) {
    for (const int64_t n : {1, 16, 33, 130}) {
      for (const int64_t beside : {int64_t{0}, int64_t{1}}) {
        if (beside > 0 && block > 1) continue;  // only single elements can end anywhere
        Case c{blocks * std::max<int64_t>(block, 32) - beside, n, type};
        if (turn % 3 == 1) c.scale = -1.75f;
        if (turn % 2 == 1) c.accumulate = true;
        c.offset = turn++ % 3;
        row_case(table, c);
      }
    }
  }
  row_case(table, {4096, 40, type});
  row_case(table, {4096 + std::max<int64_t>(block, 32), 17, type, 0.5f, true});  // two parts
  row_case(table, {8192 + 2 * std::max<int64_t>(block, 32), 3, type});           // three
  for (const auto& [heads, head_dim] : {std::pair<int64_t, int64_t>{1, 2}, {3, 12}, {9, 64}})
    row_case(table, {256, heads * head_dim, type, 1, false, false, heads});
}

}  // namespace

void linear_row_rows(Table& table) {
  for (Type type : kStorageTypes) cases_of(table, type);
  for (Type type : kMoreBlocks) cases_of(table, type);
  // Stored [in, out]: outputs in tasks of 256 columns, which are whole blocks of every type.
  for (Type type : kStorageTypes) {
    const bool single = block_elements(type) == 1;
    for (const int64_t k : {1, 7, 33, 576}) {
      for (const int64_t n : {32, 64, 256, 288, 768}) {
        const bool odd = single && k % 2 == 1;
        row_case(table, {k, odd ? n - 1 : n, type, odd ? 0.5f : 1.0f, n % 64 == 0, true, 0, odd ? 1 : 0});
      }
    }
  }
}

}  // namespace oneround::test
