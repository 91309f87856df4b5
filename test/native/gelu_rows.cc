// gelu (tanh form) and its gradient.
#include <limits>

#include "op_table.h"
#include "reference/complex_step.h"
#include "reference/gelu.h"
#include "test_data.h"

namespace oneround::test {

namespace {

using reference::Complex;

// exp of a cubic (its argument carries three roundings, which the exponential multiplies by its size), a quotient and
// two products.
constexpr double kTolerance = 16 * kUnit;

struct Inputs {
  Inputs(int64_t m, int64_t k, double size, int64_t gap)
      : random(static_cast<uint64_t>(m * 313 + k)),
        x(Floats::normal(m, k, random, size, gap)),
        d_y(Floats::normal(m, k, random, 1, gap)) {}
  Random random;
  Floats x, d_y;
};

// Every element is its own function: all move in one evaluation.
Grid<double> complex_step(const Grid<double>& x, const Grid<double>& d_y) {
  Grid<Complex> moved(x.rows, x.cols);
  for (size_t i = 0; i < x.data.size(); i++) moved.data[i] = Complex(x.data[i], reference::kStep);
  const Grid<Complex> y = reference::gelu(moved);
  Grid<double> d_x(x.rows, x.cols);
  for (size_t i = 0; i < x.data.size(); i++) d_x.data[i] = y.data[i].imag() / reference::kStep * d_y.data[i];
  return d_x;
}

void gelu_case(Table& table, int64_t m, int64_t k, double size, int64_t gap) {
  const std::string shape = "M=" + std::to_string(m) + ",K=" + std::to_string(k) +
                            (size != 1 ? ",size=" + std::to_string(static_cast<int>(size)) : "") +
                            (gap ? ",gap=" + std::to_string(gap) : "");
  // A single element near the zeros of y or of its slope is held to the size of the terms.
  const double floor = 0.1;
  table.compare(
      "gelu", shape, kTolerance,
      [&](const Backend& b) {
        Inputs in(m, k, size, gap);
        Floats y(m, k, gap);
        b.gelu(b.self, in.x.view(), y.view());
        in.x.check("x");
        return Parts{y.part("y")};
      },
      [&] { return Parts{part_of("y", reference::gelu(Inputs(m, k, size, gap).x.grid()), floor)}; });
  table.compare(
      "gelu_backward", shape + ",complex-step", 2 * kTolerance,
      [&](const Backend& b) {
        Inputs in(m, k, size, gap);
        Floats d_x(m, k, gap);
        d_x.fill(std::numeric_limits<float>::quiet_NaN());
        b.gelu_backward(b.self, in.x.view(), in.d_y.view(), d_x.view());
        return Parts{d_x.part("d_x")};
      },
      [&] {
        Inputs in(m, k, size, gap);
        return Parts{part_of("d_x", complex_step(in.x.grid(), in.d_y.grid()), floor)};
      });
  table.same_bits(
      "gelu_backward.in_place", shape,
      [&] {
        Inputs in(m, k, size, gap);
        Floats d_x(m, k, gap);
        const Backend& b = table.on(1);
        b.gelu_backward(b.self, in.x.view(), in.d_y.view(), d_x.view());
        return Parts{d_x.part("d_x")};
      },
      [&] {
        Inputs in(m, k, size, gap);
        const Backend& b = table.on(2);
        b.gelu_backward(b.self, in.x.view(), in.d_y.view(), in.x.view());
        return Parts{in.x.part("d_x")};
      });
}

}  // namespace

void gelu_rows(Table& table) {
  int turn = 0;
  for (int64_t m : {1, 2, 3, 7, 13, 29, 64, 130}) {
    for (int64_t k : {1, 33, 48, 65, 257, 768}) gelu_case(table, m, k, 1, turn++ % 3 == 2 ? 7 : 0);
  }
  // Far beyond where exp leaves float's range, on both sides; a cube of 1e6 still fits.
  for (double size : {5, 30, 1000, 1000000}) gelu_case(table, 7, 257, size, 0);
  table.same_bits(
      "gelu.elements_alone", "K=77",
      [&] {
        Inputs in(1, 77, 1, 0);
        Floats y(1, 77);
        const Backend& b = table.on(1);
        b.gelu(b.self, in.x.view(), y.view());
        return Parts{y.part("y")};
      },
      [&] {
        Inputs in(1, 77, 1, 0);
        Floats y(1, 77);
        const Backend& b = table.on(1);
        for (int64_t i = 0; i < 77; i++) b.gelu(b.self, in.x.view().slice_cols(i, 1), y.view().slice_cols(i, 1));
        return Parts{y.part("y")};
      });
}

}  // namespace oneround::test
