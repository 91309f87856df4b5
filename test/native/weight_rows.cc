// Weights in the ways that GPT-2's and quantised files lay them: the other blocks of GGUF, and layers stored [in, out].
#include <cmath>
#include <limits>
#include <numeric>

#include "op_table.h"
#include "reference/embed.h"
#include "reference/linear.h"
#include "test_data.h"

namespace oneround::test {

namespace {

struct Case {
  int64_t m, k, n;
  Type type;
  bool transposed = false;
  int64_t interleaved_heads = 0;
  int turn = 0;  // picks scale, accumulation, gaps and the address

  float scale() const { return turn % 3 == 1 ? -1.75f : 1; }
  bool accumulate() const { return turn % 2 == 1; }
  int64_t gap() const { return turn % 4 == 2 ? 7 : 0; }
};

std::string shape_of(const Case& c) {
  return "M=" + std::to_string(c.m) + ",K=" + std::to_string(c.k) + ",N=" + std::to_string(c.n) + "," +
         name_of(c.type) + (c.transposed ? ",transposed" : "") + (c.scale() != 1 ? ",scale=-1.75" : "") +
         (c.accumulate() ? ",accumulate" : "") + (c.gap() ? ",gap=7" : "") +
         (c.interleaved_heads ? ",interleaved=" + std::to_string(c.interleaved_heads) : "");
}

struct Inputs {
  explicit Inputs(const Case& c)
      : random(static_cast<uint64_t>(c.m * 1000003 + c.k * 1009 + c.n * 31 + static_cast<int64_t>(c.type))),
        w(c.transposed ? StoredWeight::transposed(c.type, c.n, c.k, random, c.turn % 3)
                       : StoredWeight(c.type, c.n, c.k, random, c.interleaved_heads, c.turn % 3)),
        x(Floats::normal(c.m, c.k, random, 1, c.gap())),
        y(Floats::normal(c.m, c.n, random, 1, c.gap())) {}
  Random random;
  StoredWeight w;
  Floats x, y;
};

// `sum` on top of what was there; an element that happens to cancel is held to the sum's expected size.
Parts added(const Case& c, Grid<double> sum, const Grid<double>& before, const Grid<double>& from,
            const Grid<double>& w, int64_t terms) {
  const double floor = std::fabs(c.scale()) * norm(from) * norm(w) / std::sqrt(static_cast<double>(terms));
  if (c.accumulate()) {
    for (size_t i = 0; i < sum.data.size(); i++) sum.data[i] += before.data[i];
  }
  return {part_of("result", sum, floor)};
}

void linear_case(Table& table, const Case& c) {
  table.compare(
      "linear", shape_of(c), sum_tolerance(c.k),
      [&](const Backend& b) {
        Inputs in(c);
        if (!c.accumulate()) in.y.fill(std::numeric_limits<float>::quiet_NaN());
        b.linear(b.self, in.x.view(), in.w.view(), in.y.view(), c.scale(), c.accumulate());
        in.x.check("x");
        return Parts{in.y.part("result")};
      },
      [&] {
        Inputs in(c);
        const Grid<double> x = in.x.grid();
        return added(c, reference::linear(x, in.w.values(), c.scale()), in.y.grid(), x, in.w.values(), c.k);
      });
  // y is the gradient, x is where the result goes.
  table.compare(
      "linear_d_x", shape_of(c), sum_tolerance(c.n),
      [&](const Backend& b) {
        Inputs in(c);
        if (!c.accumulate()) in.x.fill(std::numeric_limits<float>::quiet_NaN());
        b.linear_d_x(b.self, in.y.view(), in.w.view(), in.x.view(), c.scale(), c.accumulate());
        in.y.check("d_y");
        return Parts{in.x.part("result")};
      },
      [&] {
        Inputs in(c);
        const Grid<double> d_y = in.y.grid();
        return added(c, reference::linear_d_x(d_y, in.w.values(), c.scale()), in.x.grid(), d_y, in.w.values(), c.n);
      });
}

// Rows in one call give the bits of single rows.
void alone(Table& table, const Case& c, bool backward) {
  const auto run = [&](int64_t step) {
    Inputs in(c);
    const Backend& b = table.on(step == 1 ? 1 : 2);
    Floats out(c.m, backward ? c.k : c.n);
    for (int64_t first = 0; first < c.m; first += step) {
      const auto rows = [&](Floats& of) { return of.view().slice_rows(first, step); };
      if (backward) {
        b.linear_d_x(b.self, rows(in.y), in.w.view(), rows(out), 1, false);
      } else {
        b.linear(b.self, rows(in.x), in.w.view(), rows(out), 1, false);
      }
    }
    return Parts{out.part("out")};
  };
  table.same_bits(
      backward ? "linear_d_x.rows_alone" : "linear.rows_alone", shape_of(c), [&] { return run(c.m); },
      [&] { return run(1); });
}

// Where every product of scale and level is exact in float there is one right answer; a minimum rounds once.
double embed_tolerance(Type type) {
  switch (type) {
    case Type::q5_1:
    case Type::q2_k:
    case Type::q4_k:
    case Type::q5_k:
      return kUnit;
    default:
      return 0;
  }
}

void embed_case(Table& table, Type type, int64_t k, int64_t gap, int64_t offset) {
  constexpr int64_t kVocabulary = 43;
  Random random(static_cast<uint64_t>(k + 1));
  const StoredWeight stored(type, kVocabulary, k, random, 0, offset);
  std::vector<int32_t> ids(static_cast<size_t>(kVocabulary));
  std::iota(ids.rbegin(), ids.rend(), 0);
  table.compare(
      "embed", "M=43,K=" + std::to_string(k) + (gap ? ",gap=7," : ",") + name_of(type), embed_tolerance(type),
      [&](const Backend& b) {
        Floats y(kVocabulary, k, gap);
        y.fill(std::numeric_limits<float>::quiet_NaN());
        b.embed(b.self, ids.data(), stored.view(), y.view());
        return Parts{y.part("y")};
      },
      [&] { return Parts{part_of("y", reference::embed(std::span<const int32_t>(ids), stored.values()))}; });
}

}  // namespace

void weight_rows(Table& table) {
  int turn = 0;
  for (Type type : kMoreBlocks) {
    const int64_t block = block_elements(type);
    for (int64_t blocks : {1, 2, 3}) embed_case(table, type, blocks * block, blocks == 2 ? 7 : 0, blocks % 2);
    for (int64_t m : {1, 3, 29, 130}) {
      for (const auto& [blocks, n] : {std::pair<int64_t, int64_t>{1, 1}, {1, 33}, {2, 70}, {3, 48}}) {
        linear_case(table, {m, blocks * block, n, type, false, 0, turn++});
      }
    }
    linear_case(table, {5, 6 * block, 96, type, false, 0, turn++});
    linear_case(table, {7, block, 36, type, false, 3, turn++});
    alone(table, {29, 2 * block, 65, type}, false);
    alone(table, {29, 2 * block, 65, type}, true);
  }
  // Stored [in, out]: rows of the file are inputs.
  for (Type type : {Type::f32, Type::f16, Type::bf16, Type::q4_1, Type::q8_0, Type::q4_k}) {
    const int64_t block = block_elements(type);
    for (int64_t m : {1, 2, 7, 64, 130}) {
      for (const auto& [k, n] : {std::pair<int64_t, int64_t>{1, 1}, {33, 3}, {1, 8}, {48, 9}, {257, 2}}) {
        linear_case(table, {m, k, block == 1 ? 5 * n : n * block, type, true, 0, turn++});
      }
    }
    linear_case(table, {300, 96, 512, type, true, 0, turn++});
    linear_case(table, {13, 600, 256, type, true, 0, turn++});
    alone(table, {61, 65, 256, type, true}, false);
    alone(table, {61, 65, 256, type, true}, true);
  }
}

}  // namespace oneround::test
