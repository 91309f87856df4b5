// linear_parts and linear_parts_d_x: several layers with their factors over the same rows, against double.
#include <cmath>
#include <limits>

#include "op_table.h"
#include "reference/linear.h"
#include "test_data.h"

namespace oneround::test {

namespace {

struct Case {
  int64_t m, k;
  std::vector<int64_t> outs;   // one a part
  std::vector<int64_t> ranks;  // 0: no factors
  Type type = Type::f32;
  bool accumulate = false;  // d_x only
  bool wanted = true;       // d_x only
};

std::string shape_of(const Case& c) {
  std::string s = "M=" + std::to_string(c.m) + ",K=" + std::to_string(c.k) + ",N=" + join(c.outs) +
                  ",r=" + join(c.ranks) + "," + name_of(c.type);
  if (c.accumulate) s += ",accumulate";
  if (!c.wanted) s += ",no-d_x";
  return s;
}

constexpr float kScale = 0.75f;

struct Part1 {
  StoredWeight w;
  Floats a, b, y, u;
};

struct Layers {
  Floats x;
  std::vector<Part1> parts;
  std::vector<LinearFactors> factors;
  std::vector<LinearPart> views;
};

// Numbers of one case; factors small, as adapters are.
Layers make(const Case& c) {
  Random random(static_cast<uint64_t>(c.m * 7919 + c.k * 31 + static_cast<int64_t>(c.outs.size())));
  Layers layers{Floats::normal(c.m, c.k, random), {}, {}, {}};
  for (size_t i = 0; i < c.outs.size(); i++) {
    const int64_t n = c.outs[i], r = std::max<int64_t>(c.ranks[i], 1);
    layers.parts.push_back({StoredWeight(c.type, n, c.k, random), Floats::normal(r, c.k, random, 0.2),
                            Floats::normal(n, r, random, 0.2), Floats::normal(c.m, n, random), Floats(c.m, r)});
  }
  for (Part1& p : layers.parts) layers.factors.push_back({weight_of(p.a.view()), weight_of(p.b.view())});
  for (size_t i = 0; i < c.outs.size(); i++) {
    Part1& p = layers.parts[i];
    LinearPart view{p.w.view(), p.y.view(), nullptr, {}, 0};
    if (c.ranks[i] > 0) {
      view.factors = &layers.factors[i];
      view.u = p.u.view();
      view.scale = kScale;
    }
    layers.views.push_back(view);
  }
  return layers;
}

void add_to(Grid<double>& sum, const Grid<double>& term) {
  for (size_t i = 0; i < sum.data.size(); i++) sum.data[i] += term.data[i];
}

void forward(Table& table, const Case& c) {
  table.compare(
      "linear_parts", shape_of(c), table.product_tolerance(sum_tolerance(c.k)),
      [&](const Backend& b) {
        Layers layers = make(c);
        for (Part1& p : layers.parts) p.y.fill(std::numeric_limits<float>::quiet_NaN());
        b.linear_parts(b.self, layers.x.view(), layers.views.data(), static_cast<int64_t>(layers.views.size()), {});
        Parts parts;
        for (size_t i = 0; i < layers.parts.size(); i++) {
          parts.push_back(layers.parts[i].y.part("y"));
          if (c.ranks[i] > 0) parts.push_back(layers.parts[i].u.part("u"));
        }
        return parts;
      },
      [&] {
        Layers layers = make(c);
        Parts parts;
        for (size_t i = 0; i < layers.parts.size(); i++) {
          const Part1& p = layers.parts[i];
          const Grid<double> x = layers.x.grid();
          Grid<double> y = reference::linear(x, p.w.values(), 1);
          const double floor = norm(x) * norm(p.w.values()) / std::sqrt(static_cast<double>(c.k));
          const Grid<double> u = reference::linear(x, p.a.grid(), kScale);
          if (c.ranks[i] > 0) add_to(y, reference::linear(u, p.b.grid(), 1));
          parts.push_back(part_of("y", y, floor));
          const double inner = norm(x) * norm(p.a.grid()) / std::sqrt(static_cast<double>(c.k));
          if (c.ranks[i] > 0) parts.push_back(part_of("u", u, inner));
        }
        return parts;
      });
}

void backward(Table& table, const Case& c) {
  int64_t widest = 0;
  for (int64_t n : c.outs) widest += n;
  table.compare(
      "linear_parts_d_x", shape_of(c), table.product_tolerance(sum_tolerance(widest)),
      [&](const Backend& b) {
        Layers layers = make(c);
        if (!c.accumulate) layers.x.fill(std::numeric_limits<float>::quiet_NaN());
        b.linear_parts_d_x(b.self, layers.views.data(), static_cast<int64_t>(layers.views.size()),
                           c.wanted ? layers.x.view() : Matrix{}, c.accumulate, {});
        Parts parts;
        if (c.wanted) parts.push_back(layers.x.part("d_x"));
        for (size_t i = 0; i < layers.parts.size(); i++)
          if (c.ranks[i] > 0) parts.push_back(layers.parts[i].u.part("d_u"));
        return parts;
      },
      [&] {
        Layers layers = make(c);
        Parts inner;
        Grid<double> sum(c.m, c.k);
        double floor = 0;
        if (c.accumulate) sum = layers.x.grid();
        for (size_t i = 0; i < layers.parts.size(); i++) {
          const Part1& p = layers.parts[i];
          const Grid<double> d_y = p.y.grid();
          add_to(sum, reference::linear_d_x(d_y, p.w.values(), 1));
          floor = std::hypot(floor, norm(d_y) * norm(p.w.values()) / std::sqrt(static_cast<double>(c.outs[i])));
          if (c.ranks[i] == 0) continue;
          const Grid<double> d_u = reference::linear_d_x(d_y, p.b.grid(), kScale);
          add_to(sum, reference::linear_d_x(d_u, p.a.grid(), 1));
          const double size = kScale * norm(d_y) * norm(p.b.grid()) / std::sqrt(static_cast<double>(c.outs[i]));
          inner.push_back(part_of("d_u", d_u, size));
        }
        Parts parts;
        if (c.wanted) parts.push_back(part_of("d_x", sum, floor));
        parts.insert(parts.end(), inner.begin(), inner.end());
        return parts;
      });
}

// Groups of rows with factors of their own beside a product that all share: each has the bits that it gets alone.
struct Grouped {
  Grouped(int64_t k, std::vector<int64_t> outs, int64_t rank, Type type, std::vector<int64_t> counts)
      : random(static_cast<uint64_t>(k * 7 + rank)), rank(rank), x(1, 1) {
    int64_t m = 0;
    for (int64_t count : counts) {
      groups.push_back({m, count});
      m += count;
    }
    x = Floats::normal(m, k, random);
    for (int64_t n : outs) {
      w.emplace_back(type, n, k, random);
      y.push_back(Floats::normal(m, n, random));
      u.emplace_back(m, rank);
      for (size_t g = 0; g < counts.size(); g++) {
        a.push_back(Floats::normal(rank, k, random, 0.2));
        b.push_back(Floats::normal(n, rank, random, 0.2));
      }
    }
    for (size_t i = 0; i < a.size(); i++) factors.push_back({weight_of(a[i].view()), weight_of(b[i].view())});
  }

  // Rows [first, first + count) through the factors from the place `group` on.
  std::vector<LinearPart> views(size_t group, int64_t first, int64_t count) {
    std::vector<LinearPart> parts;
    for (size_t i = 0; i < w.size(); i++)
      parts.push_back({w[i].view(), y[i].view().slice_rows(first, count), &factors[i * groups.size() + group],
                       u[i].view().slice_rows(first, count), kScale});
    return parts;
  }
  void run(const Backend& backend, size_t group, int64_t first, int64_t count, RowGroups list) {
    std::vector<LinearPart> parts = views(group, first, count);
    const auto size = static_cast<int64_t>(parts.size());
    // Backwards first: there y is what is given.
    backend.linear_parts_d_x(backend.self, parts.data(), size, x.view().slice_rows(first, count), false, list);
    backend.linear_parts(backend.self, x.view().slice_rows(first, count), parts.data(), size, list);
  }
  Parts results() const {
    Parts parts{x.part("d_x")};
    for (size_t i = 0; i < w.size(); i++) {
      parts.push_back(y[i].part("y"));
      parts.push_back(u[i].part("u"));
    }
    return parts;
  }

  Random random;
  int64_t rank;
  std::vector<RowGroup> groups;
  Floats x;
  std::vector<StoredWeight> w;
  std::vector<Floats> y, u, a, b;
  std::vector<LinearFactors> factors;
};

void grouped(Table& table, int64_t k, const std::vector<int64_t>& outs, int64_t rank, Type type,
             const std::vector<int64_t>& counts) {
  const auto make = [=] { return Grouped(k, outs, rank, type, counts); };
  table.same_bits(
      "linear_parts.groups_alone",
      "M=" + join(counts) + ",K=" + std::to_string(k) + ",N=" + join(outs) + ",r=" + std::to_string(rank) + "," +
          name_of(type),
      [&] {
        Grouped all = make();
        const int64_t m = all.groups.back().first + all.groups.back().count;
        all.run(table.on(3), 0, 0, m, {all.groups.data(), static_cast<int64_t>(all.groups.size())});
        return all.results();
      },
      [&] {
        Grouped each = make();
        for (size_t g = 0; g < each.groups.size(); g++)
          each.run(table.on(1), g, each.groups[g].first, each.groups[g].count, {});
        return each.results();
      });
}

}  // namespace

void linear_parts_rows(Table& table) {
  grouped(table, 48, {33}, 3, Type::f32, {1, 1, 1, 5});
  grouped(table, 96, {96, 32, 32}, 8, Type::q4_1, {64, 64, 17, 64});
  grouped(table, 64, {96, 257}, 16, Type::bf16, {300, 1, 700, 64, 35});
  grouped(table, 2400, {40, 33}, 4, Type::f16, {7, 20});

  const Case cases[] = {{1, 1, {1}, {1}},
                        {3, 33, {7}, {0}},
                        {29, 48, {65, 16, 16}, {8, 8, 8}},
                        {29, 48, {65, 16, 16}, {0, 3, 0}},
                        {64, 576, {576, 192, 192}, {16, 16, 16}, Type::q4_1},
                        {130, 96, {257, 257}, {5, 33}, Type::bf16},
                        {1100, 64, {96}, {16}, Type::q8_0},
                        // Too deep to be packed at once, in f32 and in bf16.
                        {17, 2400, {40, 33}, {8, 4}, Type::f16},
                        {17, 4128, {40}, {8}}};
  for (const Case& c : cases) {
    // The table's scratch is for 4096 columns.
    if (c.k <= 4096) forward(table, c);
    Case back = c;
    if (c.k > 4096) back.k = 64, back.outs = {4096};
    backward(table, back);
    back.accumulate = true;
    backward(table, back);
    back.wanted = false;
    back.accumulate = false;
    backward(table, back);
  }
}

}  // namespace oneround::test
