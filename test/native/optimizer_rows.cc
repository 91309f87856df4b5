// adamw, squared_norm, fill_zero: over flat buffers of any length.
#include <cmath>
#include <limits>

#include "op_table.h"
#include "reference/adamw.h"
#include "reference/squared_norm.h"
#include "test_data.h"

namespace oneround::test {

namespace {

constexpr int64_t kCounts[] = {1, 2, 7, 15, 33, 1000, 4097, 65537};
constexpr int kSteps = 50;

Floats gradient_of(int64_t count, int step) {
  Random random(static_cast<uint64_t>(count * 1000 + step));
  Floats out = Floats::normal(1, count, random, 0.1);
  if (step % 7 == 3) out.fill(0);  // a step without gradient still decays the moments
  return out;
}

struct Settings {
  double decay, gradient_scale, epsilon;
};

AdamW options(const Settings& s, int step) { return {2e-3, 0.9, 0.999, s.epsilon, s.decay, step, s.gradient_scale}; }

Floats start(int64_t count) {
  Random random(17);
  return Floats::normal(1, count, random, 0.05);
}

// The change of the parameters over all steps, and the two moments.
Parts adamw_run(const Backend& b, int64_t count, const Settings& s) {
  Floats p = start(count), first(1, count), second(1, count);
  for (int step = 1; step <= kSteps; step++) {
    Floats g = gradient_of(count, step);
    b.adamw(b.self, p.data(), g.data(), first.data(), second.data(), count, options(s, step));
    g.check("gradient");
  }
  p.check("parameters");
  Grid<double> change = p.grid();
  const Grid<double> before = start(count).grid();
  for (size_t i = 0; i < change.data.size(); i++) change.data[i] -= before.data[i];
  return {part_of("change", change), first.part("first"), second.part("second")};
}

Parts adamw_expected(int64_t count, const Settings& s) {
  const std::vector<double> before = start(count).grid().data;
  reference::AdamWState state{before, std::vector<double>(before.size()), std::vector<double>(before.size())};
  for (int step = 1; step <= kSteps; step++)
    reference::adamw(state, gradient_of(count, step).grid().data, options(s, step));
  // Floors: the usual sizes of a change and of a first moment, which a single element may happen to miss.
  std::vector<double> change = state.parameters;
  for (size_t i = 0; i < change.size(); i++) change[i] -= before[i];
  return {{"change", change, 1e-2 * std::sqrt(static_cast<double>(count))},
          {"first", state.first, 0.02 * s.gradient_scale * std::sqrt(static_cast<double>(count))},
          {"second", state.second}};
}

void norm_row(Table& table, int64_t count, double size) {
  const std::string shape =
      "count=" + std::to_string(count) +
      (size != 1 ? ",size=1e" + std::to_string(static_cast<int>(std::round(std::log10(size)))) : "");
  // Squares of floats are exact in double; what is left is the double sum.
  table.compare(
      "squared_norm", shape, 1e-13,
      [&](const Backend& b) {
        Random random(static_cast<uint64_t>(count));
        Floats x = Floats::normal(1, count, random, size);
        return Parts{{"norm", {b.squared_norm(b.self, x.data(), count)}}};
      },
      [&] {
        Random random(static_cast<uint64_t>(count));
        const Floats x = Floats::normal(1, count, random, size);
        return Parts{{"norm", {reference::squared_norm(x.grid().data)}}};
      });
}

}  // namespace

void optimizer_rows(Table& table) {
  const std::pair<const char*, Settings> settings[] = {{"plain", {0, 1, 1e-8}},
                                                       {"decay=0.1", {0.1, 1, 1e-8}},
                                                       {"decay=0.01,scale=0.125,epsilon=1e-3", {0.01, 0.125, 1e-3}}};
  for (int64_t count : kCounts) {
    for (const auto& [name, s] : settings) {
      // Without decay: fifty steps, each rounded at the parameter's size (some 25 learning rates), at random. With it,
      // 1 - learning_rate * decay is a float near 1: its one rounding repeats in every step, 50 * kUnit / 2 of the
      // parameters' size, which is two to five times that of their change.
      const double tolerance = (s.decay == 0 ? 30 : 200) * kUnit;
      table.compare(
          "adamw", "count=" + std::to_string(count) + ",steps=50," + name, tolerance,
          [&, s = s](const Backend& b) { return adamw_run(b, count, s); },
          [&, s = s] { return adamw_expected(count, s); });
    }
  }
  // The buffer in pieces gives the bits of the buffer at once: an element knows nothing of its neighbours.
  table.same_bits(
      "adamw.pieces", "count=1000", [&] { return adamw_run(table.on(2), 1000, settings[1].second); },
      [&] {
        Floats p = start(1000), first(1, 1000), second(1, 1000);
        const Backend& b = table.on(1);
        for (int step = 1; step <= kSteps; step++) {
          Floats g = gradient_of(1000, step);
          for (int64_t at = 0; at < 1000; at += 37) {
            b.adamw(b.self, p.data() + at, g.data() + at, first.data() + at, second.data() + at,
                    std::min<int64_t>(37, 1000 - at), options(settings[1].second, step));
          }
        }
        Grid<double> change = p.grid();
        const Grid<double> before = start(1000).grid();
        for (size_t i = 0; i < change.data.size(); i++) change.data[i] -= before.data[i];
        return Parts{part_of("change", change), first.part("first"), second.part("second")};
      });
  for (int64_t count : {0, 1, 2, 7, 33, 1000, 4096, 4097, 100003, 1000000}) norm_row(table, count, 1);
  norm_row(table, 1000, 1e-20);
  norm_row(table, 1000, 1e30);
  for (int64_t count : {1, 7, 33, 4097, 100003}) {
    table.row("fill_zero", "count=" + std::to_string(count), 0, [&] {
      const Backend& b = table.on(2);
      Floats x(1, count);
      x.fill(std::numeric_limits<float>::quiet_NaN());
      b.fill_zero(b.self, x.data(), count);
      return bit_difference({x.part("x")}, {Floats(1, count).part("x")});
    });
  }
}

}  // namespace oneround::test
