// cross_entropy: losses in double, d_logits in place.
#include <cmath>

#include "op_table.h"
#include "reference/complex_step.h"
#include "reference/cross_entropy.h"
#include "test_data.h"

namespace oneround::test {

namespace {

using reference::Complex;

struct Inputs {
  Inputs(int64_t m, int64_t vocabulary, double size, int64_t gap)
      : random(static_cast<uint64_t>(m * 53 + vocabulary)), logits(Floats::normal(m, vocabulary, random, size, gap)) {
    for (int64_t r = 0; r < m; r++) labels.push_back(static_cast<int32_t>(random.below(vocabulary)));
    labels[0] = static_cast<int32_t>(vocabulary - 1);
  }
  Random random;
  Floats logits;
  std::vector<int32_t> labels;
};

Parts run(const Backend& b, Inputs& in, float d_loss, std::vector<double> losses) {
  b.cross_entropy(b.self, in.logits.view(), in.labels.data(), d_loss, losses.data());
  Parts out{{"losses", losses}};
  in.logits.check("logits");
  if (d_loss != 0) out.push_back(in.logits.part("d_logits"));
  return out;
}

// The error is the exponential's, and of the largest difference of logits rounded to float, which exp turns into a
// relative one; then a sum of V positive numbers, whose partial sums grow like j, so a chain of roundings leaves up to
// kUnit * sqrt(V / 3) * (a rounding's deviation, about a third to a half of kUnit).
double tolerance_of(int64_t vocabulary, double size) {
  return kUnit * (6 * std::max(1.0, size / 2) + std::sqrt(static_cast<double>(vocabulary)) / 6);
}

void loss_case(Table& table, int64_t m, int64_t vocabulary, double size, float d_loss, int64_t gap) {
  const bool stepped = m * vocabulary * vocabulary <= 3'000'000 && d_loss != 0;
  const std::string shape = "M=" + std::to_string(m) + ",V=" + std::to_string(vocabulary) +
                            (size != 1 ? ",size=" + std::to_string(static_cast<int>(size)) : "") +
                            ",d_loss=" + std::to_string(d_loss).substr(0, 4) +
                            (gap ? ",gap=" + std::to_string(gap) : "") + (stepped ? ",complex-step" : "");
  table.compare(
      "cross_entropy", shape, tolerance_of(vocabulary, size),
      [&](const Backend& b) {
        Inputs in(m, vocabulary, size, gap);
        return run(b, in, d_loss, std::vector<double>(static_cast<size_t>(m), -1));
      },
      [&] {
        Inputs in(m, vocabulary, size, gap);
        const Grid<double> logits = in.logits.grid();
        // A sure prediction has a loss near 0, known to the size of a logit's rounding only.
        Parts out{{"losses", reference::cross_entropy(logits, in.labels), std::sqrt(static_cast<double>(m))}};
        if (d_loss == 0) return out;
        Grid<double> d_logits = reference::cross_entropy_backward(logits, in.labels, d_loss);
        if (stepped) {
          d_logits = reference::complex_step_by_row(logits, [&](const Grid<Complex>& moved) {
            auto losses = reference::cross_entropy(moved, in.labels);
            for (Complex& loss : losses) loss *= d_loss;
            return losses;
          });
        }
        // With one class the gradient is exactly 0; against d_loss an error still shows.
        out.push_back(part_of("d_logits", d_logits, d_loss * 0.01));
        return out;
      });
}

// Finite logits of any size give finite, right losses and gradients.
void extremes(Table& table, const std::string& name, std::vector<float> row, int32_t label) {
  const auto make = [=] {
    Inputs in(1, static_cast<int64_t>(row.size()), 1, 0);
    for (size_t i = 0; i < row.size(); i++) in.logits(0, static_cast<int64_t>(i)) = row[i];
    in.labels = {label};
    return in;
  };
  table.compare(
      "cross_entropy", name, 8 * kUnit,
      [&](const Backend& b) {
        Inputs in = make();
        return run(b, in, 1, {-1});
      },
      [&] {
        Inputs in = make();
        const Grid<double> logits = in.logits.grid();
        return Parts{{"losses", reference::cross_entropy(logits, in.labels), 1},
                     part_of("d_logits", reference::cross_entropy_backward(logits, in.labels, 1), 1)};
      });
}

}  // namespace

void loss_rows(Table& table) {
  int turn = 0;
  for (int64_t m : {1, 2, 3, 7, 13, 64, 130}) {
    for (int64_t vocabulary : {1, 2, 7, 33, 65, 257, 4096}) {
      loss_case(table, m, vocabulary, 1, turn % 3 == 1 ? 0.0f : 0.125f, turn % 4 == 2 ? 9 : 0);
      turn++;
    }
  }
  loss_case(table, 13, 257, 10, 1, 0);
  loss_case(table, 5, 49152, 3, 0.5f, 0);
  loss_case(table, 5, 49152, 3, 0, 0);
  loss_case(table, 29, 33, 100, 1, 0);
  std::vector<float> flat(257, 12345.0f);
  extremes(table, "all-equal-12345", flat, 100);
  std::vector<float> spread(257, -1e4f);
  spread[3] = 1e4f;
  extremes(table, "one-at-1e4,label-there", spread, 3);
  extremes(table, "one-at-1e4,label-elsewhere", spread, 250);
  spread[3] = 1e30f;
  spread[9] = -1e30f;
  extremes(table, "1e30,label-at-largest", spread, 3);
  extremes(table, "1e30,label-at-smallest", spread, 9);
  spread[3] = 3e38f;
  spread[9] = -3e38f;
  extremes(table, "3e38,label-at-largest", spread, 3);
  extremes(table, "3e38,label-at-smallest", spread, 9);
  // A row's loss and gradient are the same in any batch.
  table.same_bits(
      "cross_entropy.rows_alone", "M=29,V=257",
      [&] {
        Inputs in(29, 257, 2, 0);
        return run(table.on(3), in, 1, std::vector<double>(29));
      },
      [&] {
        Inputs in(29, 257, 2, 0);
        std::vector<double> losses(29);
        const Backend& b = table.on(1);
        for (int64_t r = 0; r < 29; r++) {
          b.cross_entropy(b.self, in.logits.view().slice_rows(r, 1), in.labels.data() + r, 1, losses.data() + r);
        }
        return Parts{{"losses", losses}, in.logits.part("d_logits")};
      });
}

}  // namespace oneround::test
