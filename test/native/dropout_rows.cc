// dropout: the share it drops, the words it draws from, and that batching, aliasing and threads change nothing.
#include <algorithm>
#include <cmath>
#include <limits>

#include "op_table.h"
#include "reference/dropout.h"
#include "test_data.h"

namespace oneround::test {

namespace {

const std::vector<int64_t> kLengths = {1, 13, 2, 64, 29};

std::string shape_of(int64_t k, float rate) {
  return "segments=" + join(kLengths) + ",K=" + std::to_string(k) + ",rate=" + std::to_string(rate).substr(0, 4);
}

Floats input(int64_t k) {
  Random random(static_cast<uint64_t>(k) + 1);
  Floats x(rows_of(kLengths), k);
  // Away from zero, so that a dropped element is told from a kept one.
  for (int64_t r = 0; r < rows_of(kLengths); r++) {
    for (int64_t c = 0; c < k; c++)
      x(r, c) = static_cast<float>((random.uniform() + 0.5) * (random.uniform() < 0.5 ? -1 : 1));
  }
  return x;
}

Floats run(const Backend& b, int64_t k, Dropout dropout) {
  Floats x = input(k), y(rows_of(kLengths), k);
  y.fill(std::numeric_limits<float>::quiet_NaN());
  const auto segments = segments_of(kLengths);
  b.dropout(b.self, x.view(), y.view(), dropout, view(segments), false);
  x.check("x");
  return y;
}

// Every kept element is x / (1 - rate) to two roundings; every other is 0.
double values(const Backend& b, int64_t k, Dropout dropout) {
  Floats x = input(k), y = run(b, k, dropout);
  y.check("y");
  double worst = 0;
  for (int64_t r = 0; r < rows_of(kLengths); r++) {
    for (int64_t c = 0; c < k; c++) {
      if (y(r, c) == 0) continue;
      const double expected = x(r, c) / (1 - static_cast<double>(dropout.rate));
      const double error = std::fabs(y(r, c) - expected) / std::fabs(expected);
      if (!(error <= worst)) worst = error;
    }
  }
  return worst;
}

// The share that is dropped, in standard deviations from the rate; a Philox mask stays within 5.
double share(const Backend& b, int64_t k, Dropout dropout) {
  Floats y = run(b, k, dropout);
  double dropped = 0;
  for (int64_t r = 0; r < rows_of(kLengths); r++) {
    for (int64_t c = 0; c < k; c++) dropped += y(r, c) == 0;
  }
  const double n = static_cast<double>(rows_of(kLengths) * k), rate = dropout.rate;
  return std::fabs(dropped - n * rate) / std::sqrt(n * rate * (1 - rate));
}

// Kept and dropped elements are parted by one threshold on the words the interface promises: returns the share of
// elements on the wrong side of the best threshold, low words dropped or high words dropped.
double words(const Backend& b, int64_t k, Dropout dropout) {
  Floats y = run(b, k, dropout);
  std::vector<std::pair<uint32_t, bool>> drawn;  // word, kept
  for (const Segment& s : segments_of(kLengths)) {
    for (int64_t t = 0; t < s.count; t++) {
      for (int64_t c = 0; c < k; c++) {
        drawn.emplace_back(reference::dropout_word(dropout, s.dropout_counter, t, c), y(s.first + t, c) != 0);
      }
    }
  }
  std::sort(drawn.begin(), drawn.end());
  size_t changes = 0;
  for (size_t i = 1; i < drawn.size(); i++) changes += drawn[i].second != drawn[i - 1].second;
  return changes == 0 ? 1 : static_cast<double>(changes - 1);
}

}  // namespace

void dropout_rows(Table& table) {
  for (int64_t k : {1, 3, 33, 64, 257, 576}) {
    for (float rate : {0.05f, 0.1f, 0.5f, 0.9f}) {
      const Dropout dropout{rate, 42, 7};
      const std::string shape = shape_of(k, rate);
      table.row("dropout", shape, 2.5 * kUnit, [&] { return values(table.on(1), k, dropout); });
      table.same_bits(
          "dropout.threads", shape, [&] { return Parts{run(table.on(1), k, dropout).part("y")}; },
          [&] { return Parts{run(table.on(3), k, dropout).part("y")}; });
      if (k >= 33) table.row("dropout.share", shape, 5, [&] { return share(table.on(1), k, dropout); });
      if (k >= 33) table.row("dropout.philox", shape, 0, [&] { return words(table.on(1), k, dropout); });
      // Segment by segment, each first in memory: the mask belongs to the segment, not to its place.
      table.same_bits(
          "dropout.batching", shape, [&] { return Parts{run(table.on(2), k, dropout).part("y")}; },
          [&] {
            Floats x = input(k), y(rows_of(kLengths), k);
            const Backend& b = table.on(1);
            for (const Segment& s : segments_of(kLengths)) {
              const Segment own{0, s.count, s.dropout_counter};
              b.dropout(b.self, x.view().slice_rows(s.first, s.count), y.view().slice_rows(s.first, s.count), dropout,
                        {&own, 1}, false);
            }
            return Parts{y.part("y")};
          });
      table.same_bits(
          "dropout.alias", shape, [&] { return Parts{run(table.on(1), k, dropout).part("y")}; },
          [&] {
            Floats x = input(k);
            const auto segments = segments_of(kLengths);
            const Backend& b = table.on(3);
            b.dropout(b.self, x.view(), x.view(), dropout, view(segments), false);
            return Parts{x.part("y")};
          });
      // One more rounding for the sum; gaps between the rows stay as they are.
      table.row("dropout.accumulate", shape + ",gap=3", 2.5 * kUnit, [&] {
        Random random(8);
        const int64_t m = rows_of(kLengths);
        Floats x = Floats::of(input(k).grid(), 3), y = Floats::normal(m, k, random, 1, 3);
        Grid<double> expected = y.grid();
        const Grid<double> added = run(table.on(1), k, dropout).grid();
        for (size_t i = 0; i < added.data.size(); i++) expected.data[i] += added.data[i];
        const auto segments = segments_of(kLengths);
        const Backend& b = table.on(2);
        b.dropout(b.self, x.view(), y.view(), dropout, view(segments), true);
        return relative_error({y.part("y")}, {part_of("y", expected)});
      });
    }
  }
  // Another seed, layer or segment counter is another mask: about 2 rate (1 - rate) of the elements differ.
  table.row("dropout.independent", "seed,layer", 0, [&] {
    const int64_t k = 257;
    const Backend& b = table.on(1);
    const Grid<double> base = run(b, k, {0.5f, 42, 7}).grid();
    double wrong = 0;
    for (const Dropout& other : {Dropout{0.5f, 43, 7}, Dropout{0.5f, 42, 8}}) {
      const Grid<double> mask = run(b, k, other).grid();
      double differ = 0;
      for (size_t i = 0; i < mask.data.size(); i++) differ += (mask.data[i] == 0) != (base.data[i] == 0);
      const double share = differ / static_cast<double>(mask.data.size());
      if (share < 0.48 || share > 0.52) wrong++;
    }
    return wrong;
  });
  table.row("dropout.off", "rate=0", 0,
            [&] { return bit_difference({run(table.on(1), 65, {}).part("y")}, {input(65).part("y")}); });
}

}  // namespace oneround::test
