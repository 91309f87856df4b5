// swiglu and its gradients.
#include <limits>

#include "op_table.h"
#include "reference/complex_step.h"
#include "reference/swiglu.h"
#include "test_data.h"

namespace oneround::test {

namespace {

using reference::Complex;

// exp, a sum, a quotient and two products; the exponential's own error is a few units.
constexpr double kTolerance = 8 * kUnit;

struct Inputs {
  Inputs(int64_t m, int64_t k, double size, int64_t gap)
      : random(static_cast<uint64_t>(m * 911 + k)),
        gate(Floats::normal(m, k, random, size, gap)),
        up(Floats::normal(m, k, random, 1, gap)),
        d_y(Floats::normal(m, k, random, 1, gap)) {}
  Random random;
  Floats gate, up, d_y;
};

// Every element is its own function: all move in one evaluation.
reference::SwigluGradients complex_step(const Grid<double>& gate, const Grid<double>& up, const Grid<double>& d_y) {
  const auto moved = [](Grid<double> x) {
    Grid<Complex> out(x.rows, x.cols);
    for (size_t i = 0; i < x.data.size(); i++) out.data[i] = Complex(x.data[i], reference::kStep);
    return out;
  };
  reference::SwigluGradients out{Grid<double>(gate.rows, gate.cols), Grid<double>(gate.rows, gate.cols)};
  const Grid<Complex> by_gate = reference::swiglu(moved(gate), reference::convert<Complex>(up));
  const Grid<Complex> by_up = reference::swiglu(reference::convert<Complex>(gate), moved(up));
  for (size_t i = 0; i < gate.data.size(); i++) {
    out.d_gate.data[i] = by_gate.data[i].imag() / reference::kStep * d_y.data[i];
    out.d_up.data[i] = by_up.data[i].imag() / reference::kStep * d_y.data[i];
  }
  return out;
}

void swiglu_case(Table& table, int64_t m, int64_t k, double size, int64_t gap) {
  const std::string shape = "M=" + std::to_string(m) + ",K=" + std::to_string(k) +
                            (size != 1 ? ",size=" + std::to_string(static_cast<int>(size)) : "") +
                            (gap ? ",gap=" + std::to_string(gap) : "");
  table.compare(
      "swiglu", shape, kTolerance,
      [&](const Backend& b) {
        Inputs in(m, k, size, gap);
        Floats y(m, k, gap);
        b.swiglu(b.self, in.gate.view(), in.up.view(), y.view());
        in.gate.check("gate");
        in.up.check("up");
        return Parts{y.part("y")};
      },
      [&] {
        Inputs in(m, k, size, gap);
        return Parts{part_of("y", reference::swiglu(in.gate.grid(), in.up.grid()))};
      });
  table.compare(
      "swiglu_backward", shape + ",complex-step", 2 * kTolerance,
      [&](const Backend& b) {
        Inputs in(m, k, size, gap);
        Floats d_gate(m, k, gap), d_up(m, k, gap);
        d_gate.fill(std::numeric_limits<float>::quiet_NaN());
        d_up.fill(std::numeric_limits<float>::quiet_NaN());
        b.swiglu_backward(b.self, in.gate.view(), in.up.view(), in.d_y.view(), d_gate.view(), d_up.view());
        return Parts{d_gate.part("d_gate"), d_up.part("d_up")};
      },
      [&] {
        Inputs in(m, k, size, gap);
        const auto out = complex_step(in.gate.grid(), in.up.grid(), in.d_y.grid());
        return Parts{part_of("d_gate", out.d_gate, size == 1 ? 0.0 : 1.0), part_of("d_up", out.d_up)};
      });
}

// What is kept in bf16 has the bits of the two steps that it does at once: rounding, then the function.
void kept_case(Table& table, int64_t m, int64_t k, int64_t gap) {
  const std::string shape = "M=" + std::to_string(m) + ",K=" + std::to_string(k) + (gap ? ",gap" : "");
  struct Kept {
    Kept(int64_t m, int64_t k, int64_t gap)
        : in(m, k, 1, gap), gate(static_cast<size_t>(m * k)), up(gate), y(m, k, gap), d_gate(m, k, gap), d_up(m, k) {
      for (Floats* out : {&y, &d_gate, &d_up}) out->fill(std::numeric_limits<float>::quiet_NaN());
    }
    Inputs in;
    std::vector<uint16_t> gate, up;
    Floats y, d_gate, d_up;
  };
  const auto rounded = [=](const Backend& b) {
    Kept all(m, k, gap);
    b.keep_rounded(b.self, all.in.gate.view(), all.gate.data());
    b.keep_rounded(b.self, all.in.up.view(), all.up.data());
    return all;
  };
  const auto expected = [=, &table] {
    const Backend& b = table.on(1);
    Kept all = rounded(b);
    b.swiglu(b.self, all.in.gate.view(), all.in.up.view(), all.y.view());
    return Parts{all.y.part("y")};
  };
  table.same_bits(
      "swiglu_keep", shape,
      [=, &table] {
        const Backend& b = table.on(2);
        Kept all(m, k, gap), again(m, k, gap);
        b.swiglu_keep(b.self, all.in.gate.view(), all.in.up.view(), all.gate.data(), all.up.data(), all.y.view());
        // The operands are left as they are, and what is kept is what keep_rounded keeps.
        const Kept apart = rounded(b);
        if (all.gate != apart.gate || all.up != apart.up) all.y.fill(0);
        return Parts{all.y.part("y"), {"gate", all.in.gate.part("").values}};
      },
      [=] {
        Parts parts = expected();
        parts.push_back({"gate", Inputs(m, k, 1, gap).gate.part("").values});
        return parts;
      });
  table.same_bits(
      "swiglu_kept", shape,
      [=, &table] {
        const Backend& b = table.on(3);
        Kept all = rounded(b);
        b.swiglu_kept(b.self, all.gate.data(), all.up.data(), all.y.view());
        return Parts{all.y.part("y")};
      },
      expected);
  table.same_bits(
      "swiglu_kept_backward", shape,
      [=, &table] {
        const Backend& b = table.on(3);
        Kept all = rounded(b);
        b.swiglu_kept_backward(b.self, all.gate.data(), all.up.data(), all.in.d_y.view(), all.d_gate.view(),
                               all.d_up.view());
        return Parts{all.d_gate.part("d_gate"), all.d_up.part("d_up")};
      },
      [=, &table] {
        const Backend& b = table.on(1);
        Kept all = rounded(b);
        b.swiglu_backward(b.self, all.in.gate.view(), all.in.up.view(), all.in.d_y.view(), all.d_gate.view(),
                          all.d_up.view());
        return Parts{all.d_gate.part("d_gate"), all.d_up.part("d_up")};
      });
}

}  // namespace

void swiglu_rows(Table& table) {
  kept_case(table, 1, 1, 0);
  kept_case(table, 3, 33, 5);
  kept_case(table, 17, 257, 0);
  kept_case(table, 9, 1536, 3);
  int turn = 0;
  for (int64_t m : {1, 2, 3, 7, 13, 29, 64, 130}) {
    for (int64_t k : {1, 33, 48, 65, 257, 1536}) swiglu_case(table, m, k, 1, turn++ % 3 == 2 ? 7 : 0);
  }
  // Gates far beyond where exp leaves float's range, on both sides.
  for (double size : {30, 1000, 1000000}) swiglu_case(table, 7, 257, size, 0);
  // An element's bits do not depend on its place in a row or vector.
  table.same_bits(
      "swiglu.elements_alone", "K=77",
      [&] {
        Inputs in(1, 77, 1, 0);
        Floats y(1, 77);
        const Backend& b = table.on(1);
        b.swiglu(b.self, in.gate.view(), in.up.view(), y.view());
        return Parts{y.part("y")};
      },
      [&] {
        Inputs in(1, 77, 1, 0);
        Floats y(1, 77);
        const Backend& b = table.on(1);
        for (int64_t i = 0; i < 77; i++) {
          b.swiglu(b.self, in.gate.view().slice_cols(i, 1), in.up.view().slice_cols(i, 1), y.view().slice_cols(i, 1));
        }
        return Parts{y.part("y")};
      });
}

}  // namespace oneround::test
