// Gradients of analytic functions without subtraction: f'(x) = Im f(x + ih) / h, exact to rounding for tiny h
// (Squire and Trapp, SIAM Review 40(1), 1998).
#pragma once

#include <complex>
#include <cstdint>
#include <vector>

#include "reference/grid.h"

namespace oneround::reference {

using Complex = std::complex<double>;
constexpr double kStep = 1e-50;

// For functions whose loss splits by the rows of x (loss r depends on row r only): one evaluation a column.
// `losses(Grid<Complex>)` returns one loss a row.
template <typename F>
Grid<double> complex_step_by_row(const Grid<double>& x, F losses) {
  Grid<double> gradient(x.rows, x.cols);
  Grid<Complex> moved = convert<Complex>(x);
  for (int64_t c = 0; c < x.cols; c++) {
    for (int64_t r = 0; r < x.rows; r++) moved(r, c) = Complex(x(r, c), kStep);
    const std::vector<Complex> loss = losses(moved);
    for (int64_t r = 0; r < x.rows; r++) gradient(r, c) = loss[static_cast<size_t>(r)].imag() / kStep;
    for (int64_t r = 0; r < x.rows; r++) moved(r, c) = x(r, c);
  }
  return gradient;
}

// For any function: one evaluation an element. `loss(Grid<Complex>)` returns one number.
template <typename F>
Grid<double> complex_step(const Grid<double>& x, F loss) {
  Grid<double> gradient(x.rows, x.cols);
  Grid<Complex> moved = convert<Complex>(x);
  for (size_t i = 0; i < x.data.size(); i++) {
    moved.data[i] = Complex(x.data[i], kStep);
    gradient.data[i] = loss(moved).imag() / kStep;
    moved.data[i] = x.data[i];
  }
  return gradient;
}

// sum_c weight[r,c] * y[r,c]: the loss of row r whose gradient with respect to y is `weight`.
inline std::vector<Complex> row_losses(const Grid<Complex>& y, const Grid<double>& weight) {
  std::vector<Complex> losses(static_cast<size_t>(y.rows));
  for (int64_t r = 0; r < y.rows; r++) {
    for (int64_t c = 0; c < y.cols; c++) losses[static_cast<size_t>(r)] += weight(r, c) * y(r, c);
  }
  return losses;
}

inline Complex total_loss(const Grid<Complex>& y, const Grid<double>& weight) {
  Complex total = 0;
  for (const Complex& loss : row_losses(y, weight)) total += loss;
  return total;
}

}  // namespace oneround::reference
