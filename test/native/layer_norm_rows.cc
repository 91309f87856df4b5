// layer_norm, layer_norm_again, layer_norm_backward.
#include <cmath>

#include "op_table.h"
#include "reference/complex_step.h"
#include "reference/layer_norm.h"
#include "test_data.h"

namespace oneround::test {

namespace {

using reference::Complex;
using reference::convert;

constexpr float kEpsilon = 1e-5f;
// of every row, in deviations: x - mean loses that much of its precision
constexpr double kShift = 2;

std::string shape_of(int64_t m, int64_t k, int64_t gap) {
  return "M=" + std::to_string(m) + ",K=" + std::to_string(k) + (gap ? ",gap=" + std::to_string(gap) : "");
}

struct Inputs {
  Inputs(int64_t m, int64_t k, int64_t gap)
      : random(static_cast<uint64_t>(m * 1009 + k)),
        x(Floats::normal(m, k, random, 1.5, gap)),
        weight(Floats::normal(1, k, random)),
        bias(Floats::normal(1, k, random)),
        d_y(Floats::normal(m, k, random, 1, gap)),
        mean(m, 1),
        inv(m, 1) {
    for (int64_t r = 0; r < m; r++) {
      for (int64_t c = 0; c < k; c++) x(r, c) += static_cast<float>(1.5 * kShift);
    }
    const auto forward = reference::layer_norm(x.grid(), weight.grid(), bias.grid(), kEpsilon);
    for (int64_t r = 0; r < m; r++) {
      mean(r, 0) = static_cast<float>(forward.mean(r, 0));
      inv(r, 0) = static_cast<float>(forward.inv(r, 0));
    }
  }
  Random random;
  Floats x, weight, bias, d_y, mean, inv;
};

// The mean is a sum of K terms, the variance another; both enter every element, the mean times kShift.
double tolerance_of(int64_t k) { return (1 + kShift) * sum_tolerance(k); }

void forward(Table& table, int64_t m, int64_t k, int64_t gap) {
  const auto run = [=](const Backend& b) {
    Inputs in(m, k, gap);
    Floats y(m, k, gap), mean(m, 1), inv(m, 1);
    b.layer_norm(b.self, in.x.view(), in.weight.data(), in.bias.data(), kEpsilon, y.view(), mean.data(), inv.data());
    in.x.check("x");
    return Parts{y.part("y"), mean.part("mean"), inv.part("inv")};
  };
  table.compare("layer_norm", shape_of(m, k, gap), tolerance_of(k), run, [=] {
    Inputs in(m, k, gap);
    const auto out = reference::layer_norm(in.x.grid(), in.weight.grid(), in.bias.grid(), kEpsilon);
    // One column: x - mean is 0 and y the bias; what the mean's rounding leaves is multiplied by inv.
    const double floor = k == 1 ? std::sqrt(static_cast<double>(m)) / std::sqrt(kEpsilon) : 0;
    return Parts{part_of("y", out.y, floor), part_of("mean", out.mean), part_of("inv", out.inv)};
  });
  table.same_bits(
      "layer_norm_again", shape_of(m, k, gap), [&] { return Parts{run(table.on(1))[0]}; },
      [&] {
        const Backend& b = table.on(3);
        Inputs in(m, k, gap);
        Floats y(m, k, gap), mean(m, 1), inv(m, 1), again(m, k, gap);
        b.layer_norm(b.self, in.x.view(), in.weight.data(), in.bias.data(), kEpsilon, y.view(), mean.data(),
                     inv.data());
        b.layer_norm_again(b.self, in.x.view(), in.weight.data(), in.bias.data(), mean.data(), inv.data(),
                           again.view());
        return Parts{again.part("y")};
      });
}

void backward(Table& table, const std::vector<int64_t>& lengths, int64_t k, int64_t gap) {
  const int64_t m = rows_of(lengths);
  const auto segments = segments_of(lengths);
  // d_x, d_weight and d_bias hold numbers before: the entry adds.
  const auto run = [&](const Backend& b, bool wanted, bool one_by_one) {
    Inputs in(m, k, gap);
    Floats d_x = Floats::normal(m, k, in.random, 1, gap), d_weight = Floats::normal(1, k, in.random),
           d_bias = Floats::normal(1, k, in.random);
    float* const to_weight = wanted ? d_weight.data() : nullptr;
    float* const to_bias = wanted ? d_bias.data() : nullptr;
    if (one_by_one) {
      for (const Segment& s : segments) {
        const auto rows = [&](Floats& of) { return of.view().slice_rows(s.first, s.count); };
        const Segment own{0, s.count, 0};
        b.layer_norm_backward(b.self, rows(in.x), in.weight.data(), in.mean.data() + s.first, in.inv.data() + s.first,
                              rows(in.d_y), rows(d_x), to_weight, to_bias, {&own, 1});
      }
    } else {
      b.layer_norm_backward(b.self, in.x.view(), in.weight.data(), in.mean.data(), in.inv.data(), in.d_y.view(),
                            d_x.view(), to_weight, to_bias, view(segments));
    }
    return Parts{d_x.part("d_x"), d_weight.part("d_weight"), d_bias.part("d_bias")};
  };
  const bool stepped = m * k * k <= 1'000'000;
  const std::string shape = shape_of(m, k, gap) + ",segments=" + join(lengths) + (stepped ? ",complex-step" : "");
  // Three terms that partly cancel, each with a sum of K; d_weight and d_bias sum M rows.
  table.compare(
      "layer_norm_backward", shape, 2 * (1 + kShift) * sum_tolerance(std::max(m, k)),
      [&](const Backend& b) { return run(b, true, false); },
      [&] {
        Inputs in(m, k, gap);
        const Grid<double> d_x = Floats::normal(m, k, in.random).grid(),
                           d_weight = Floats::normal(1, k, in.random).grid(),
                           d_bias = Floats::normal(1, k, in.random).grid();
        const Grid<double> x = in.x.grid(), weight = in.weight.grid(), d_y = in.d_y.grid();
        auto out = reference::layer_norm_backward(x, weight, kEpsilon, d_y);
        if (stepped) {
          const Grid<Complex> wc = convert<Complex>(weight), bc = convert<Complex>(in.bias.grid());
          out.d_x = reference::complex_step_by_row(x, [&](const Grid<Complex>& moved) {
            return reference::row_losses(reference::layer_norm(moved, wc, bc, kEpsilon).y, d_y);
          });
        }
        for (size_t i = 0; i < d_x.data.size(); i++) out.d_x.data[i] += d_x.data[i];
        for (size_t i = 0; i < d_weight.data.size(); i++) out.d_weight.data[i] += d_weight.data[i];
        for (size_t i = 0; i < d_bias.data.size(); i++) out.d_bias.data[i] += d_bias.data[i];
        const double floor = std::sqrt(static_cast<double>(k));
        // One column: inv is 1 / sqrt(epsilon) and all of its terms cancel.
        const double x_floor = k == 1 ? 2 * std::sqrt(static_cast<double>(m) / kEpsilon) : 0;
        return Parts{part_of("d_x", out.d_x, x_floor), part_of("d_weight", out.d_weight, k == 1 ? x_floor : floor),
                     part_of("d_bias", out.d_bias, floor)};
      });
  table.same_bits(
      "layer_norm_backward.segments", shape, [&] { return run(table.on(1), true, false); },
      [&] { return run(table.on(2), true, true); });
  // Frozen: the same d_x, and the others untouched.
  table.row("layer_norm_backward.frozen", shape, 0, [&] {
    const Parts with = run(table.on(1), true, false), without = run(table.on(1), false, false);
    Inputs in(m, k, gap);
    Floats::normal(m, k, in.random);
    const Parts before{Floats::normal(1, k, in.random).part("d_weight"),
                       Floats::normal(1, k, in.random).part("d_bias")};
    return std::max(bit_difference({with[0]}, {without[0]}), bit_difference({without[1], without[2]}, before));
  });
}

// A row's bits are the same alone and between others.
void alone(Table& table, int64_t m, int64_t k) {
  const auto rows = [&](int64_t step) {
    const Backend& b = table.on(step == 1 ? 1 : 3);
    Inputs in(m, k, 0);
    Floats y(m, k), mean(m, 1), inv(m, 1);
    for (int64_t r = 0; r < m; r += step) {
      b.layer_norm(b.self, in.x.view().slice_rows(r, step), in.weight.data(), in.bias.data(), kEpsilon,
                   y.view().slice_rows(r, step), mean.data() + r, inv.data() + r);
    }
    return Parts{y.part("y"), mean.part("mean"), inv.part("inv")};
  };
  table.same_bits(
      "layer_norm.rows_alone", shape_of(m, k, 0), [&] { return rows(m); }, [&] { return rows(1); });
}

}  // namespace

void layer_norm_rows(Table& table) {
  int turn = 0;
  for (int64_t m : {1, 2, 3, 7, 13, 29, 64, 130, 300}) {
    for (int64_t k : {1, 33, 48, 65, 257, 768}) forward(table, m, k, turn++ % 3 == 2 ? 7 : 0);
  }
  for (const auto& lengths : std::vector<std::vector<int64_t>>{{1}, {2}, {1, 3, 7}, {13, 1, 29, 64}, {300}}) {
    for (int64_t k : {1, 33, 48, 65, 257, 768}) backward(table, lengths, k, turn++ % 3 == 2 ? 7 : 0);
  }
  alone(table, 29, 65);
  alone(table, 130, 768);
}

}  // namespace oneround::test
