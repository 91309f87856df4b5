// keep_rounded and take_kept: what is kept in bf16, against rounding by the definition.
#include <cmath>
#include <limits>

#include "op_table.h"
#include "test_data.h"

namespace oneround::test {

namespace {

// To the nearest number of 8 bits of significand, ties to even; bf16 has f32's exponents.
double nearest(double x) {
  if (!std::isfinite(x) || x == 0) return x;
  int exponent;
  std::frexp(x, &exponent);
  const double unit = std::ldexp(1.0, std::max(exponent - 8, -133));
  const double rounded = std::nearbyint(x / unit) * unit;
  return std::abs(rounded) >= std::ldexp(1.0, 128) ? std::copysign(std::numeric_limits<double>::infinity(), x)
                                                   : rounded;
}

struct Inputs {
  Inputs(int64_t m, int64_t k, double size, int64_t gap)
      : random(static_cast<uint64_t>(m * 31 + k)), x(Floats::normal(m, k, random, size, gap)) {
    // A tie above an even and above an odd number, the ends of the range, numbers below the normal ones.
    const float special[] = {1.00390625f, 1.01171875f, -1.00390625f, 0.0f,   -0.0f,
                             3.4e38f,     -3.39e38f,   1e-39f,       1e-45f, std::numeric_limits<float>::infinity()};
    for (int64_t i = 0; i < std::min<int64_t>(k, std::size(special)); i++) x(0, i) = special[i];
  }
  Random random;
  Floats x;
};

void kept_case(Table& table, int64_t m, int64_t k, double size, int64_t gap) {
  const std::string shape =
      "M=" + std::to_string(m) + ",K=" + std::to_string(k) + (gap ? ",gap=" + std::to_string(gap) : "");
  const auto expected = [=] {
    Inputs in(m, k, size, gap);
    Grid<double> x = in.x.grid();
    for (double& value : x.data) value = nearest(value);
    return Parts{part_of("x", x)};
  };
  const auto keep = [=](const Backend& b, bool take) {
    Inputs in(m, k, size, gap);
    std::vector<uint16_t> kept(static_cast<size_t>(m * k));
    b.keep_rounded(b.self, in.x.view(), kept.data());
    if (take) {
      in.x.fill(std::numeric_limits<float>::quiet_NaN());
      b.take_kept(b.self, kept.data(), in.x.view());
    }
    return Parts{in.x.part("x")};
  };
  table.same_bits(
      "keep_rounded", shape, [&] { return keep(table.on(2), false); }, expected);
  table.same_bits(
      "take_kept", shape, [&] { return keep(table.on(3), true); }, expected);
}

}  // namespace

void kept_rows(Table& table) {
  kept_case(table, 1, 1, 1, 0);
  kept_case(table, 3, 33, 1, 5);
  kept_case(table, 17, 257, 1e-4, 0);
  kept_case(table, 64, 1536, 100, 0);
  table.same_bits(
      "keep_rounded", "NaN",
      [&] {
        Floats x(1, 16);
        x.fill(std::numeric_limits<float>::quiet_NaN());
        std::vector<uint16_t> kept(16);
        table.on(1).keep_rounded(table.on(1).self, x.view(), kept.data());
        std::vector<double> nan;
        for (int64_t i = 0; i < 16; i++) nan.push_back(std::isnan(x(0, i)) ? 1 : 0);
        return Parts{{"is NaN", nan}};
      },
      [] {
        return Parts{{"is NaN", std::vector<double>(16, 1)}};
      });
}

}  // namespace oneround::test
