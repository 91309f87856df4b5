// linear_row_each: several products of single rows at once, each y (+)= scale * x w' against double.
#include <cmath>
#include <limits>

#include "op_table.h"
#include "reference/linear.h"
#include "test_data.h"

namespace oneround::test {

namespace {

struct Layer {
  int64_t k, n;
  Type type;
  float scale = 1;
  bool accumulate = false;
  int64_t interleaved_heads = 0;
  int64_t offset = 0;
};

std::string shape_of(const std::vector<Layer>& layers) {
  std::string s;
  for (const Layer& l : layers) {
    if (!s.empty()) s.push_back('+');
    s.append(name_of(l.type)).append("[").append(std::to_string(l.n)).append(",").append(std::to_string(l.k));
    s.push_back(']');
    if (l.scale != 1) s.append("*").append(std::to_string(l.scale).substr(0, 5));
    if (l.accumulate) s.append(",accumulate");
    if (l.interleaved_heads) s.append(",interleaved=").append(std::to_string(l.interleaved_heads));
    if (l.offset) s.append(",offset=").append(std::to_string(l.offset));
  }
  return s;
}

std::string output(size_t i) { return std::string("y").append(std::to_string(i)); }

// Layers with the same K read the same x, as q, k and v do.
void each(Table& table, const std::vector<Layer>& layers) {
  struct Data {
    std::vector<StoredWeight> w;
    std::vector<Floats> x, y;
  };
  const auto make = [layers] {
    Data d;
    Random random(static_cast<uint64_t>(layers.size() * 7919));
    for (const Layer& l : layers) {
      d.w.emplace_back(l.type, l.n, l.k, random, l.interleaved_heads, l.offset);
      d.x.push_back(Floats::normal(1, l.k, random));
      d.y.push_back(Floats::normal(1, l.n, random));  // what is there: added to, or overwritten
    }
    return d;
  };
  const auto input = [layers](size_t i) {
    size_t first = 0;
    while (layers[first].k != layers[i].k) first++;
    return first;
  };
  int64_t deepest = 0;
  for (const Layer& l : layers) deepest = std::max(deepest, l.k);
  table.compare(
      "linear_row_each", shape_of(layers), sum_tolerance(deepest),
      [&](const Backend& b) {
        Data d = make();
        std::vector<RowProduct> products;
        for (size_t i = 0; i < layers.size(); i++) {
          if (!layers[i].accumulate) d.y[i].fill(std::numeric_limits<float>::quiet_NaN());
          products.push_back(
              {d.x[input(i)].data(), d.w[i].view(), d.y[i].data(), layers[i].scale, layers[i].accumulate});
        }
        b.linear_row_each(b.self, products.data(), static_cast<int64_t>(products.size()));
        Parts parts;
        for (size_t i = 0; i < layers.size(); i++) parts.push_back(d.y[i].part(output(i)));
        return parts;
      },
      [&] {
        Data d = make();
        Parts parts;
        for (size_t i = 0; i < layers.size(); i++) {
          const Grid<double> x = d.x[input(i)].grid();
          Grid<double> sum = reference::linear(x, d.w[i].values(), layers[i].scale);
          const double floor = std::fabs(layers[i].scale) * norm(x) * norm(d.w[i].values()) /
                               std::sqrt(static_cast<double>(layers[i].k));
          if (layers[i].accumulate) {
            const Grid<double> before = d.y[i].grid();
            for (size_t n = 0; n < sum.data.size(); n++) sum.data[n] += before.data[n];
          }
          parts.push_back(part_of(output(i), sum, floor));
        }
        return parts;
      });
}

}  // namespace

void linear_row_each_rows(Table& table) {
  const auto of_type = [&](Type type) {
    const int64_t k = block_elements(type) == 256 ? 512 : 96;
    each(table, {{k, 1, type}});
    each(table, {{k, 33, type, -1.75f, true, 0, 1}});
    each(table, {{k, 48, type, 1, false, 3, 2}, {k, 16, type, 1, false, 1}, {k, 17, type}});
    // A layer with factors: another x, and a type that needs other sums.
    each(table, {{k, 40, type}, {k, 5, Type::f32}, {32, 40, Type::q4_1}, {64, 7, Type::q4_0}});
    each(table, {{3 * k, 130, type}, {3 * k, 130, type, 2, true}});
    if (block_elements(type) > 1) return;
    for (int64_t odd : {1, 7, 31, 33, 65, 257}) each(table, {{odd, 19, type, 0.5f, odd % 2 == 1, 0, odd % 3}});
  };
  for (Type type : kStorageTypes) of_type(type);
  for (Type type : kMoreBlocks) of_type(type);
}

}  // namespace oneround::test
