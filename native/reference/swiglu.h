// y = gate * sigmoid(gate) * up, element by element.
#pragma once

#include <cmath>
#include <complex>

#include "reference/grid.h"

namespace oneround::reference {

// Written so that exp never overflows.
template <typename T>
T sigmoid(const T& x) {
  using std::exp;
  if (std::real(x) >= 0) return T(1) / (T(1) + exp(-x));
  const T e = exp(x);
  return e / (T(1) + e);
}

template <typename T>
Grid<T> swiglu(const Grid<T>& gate, const Grid<T>& up) {
  Grid<T> y(gate.rows, gate.cols);
  for (size_t i = 0; i < y.data.size(); i++) y.data[i] = gate.data[i] * sigmoid(gate.data[i]) * up.data[i];
  return y;
}

struct SwigluGradients {
  Grid<double> d_gate;
  Grid<double> d_up;
};

inline SwigluGradients swiglu_backward(const Grid<double>& gate, const Grid<double>& up, const Grid<double>& d_y) {
  SwigluGradients out{Grid<double>(gate.rows, gate.cols), Grid<double>(gate.rows, gate.cols)};
  for (size_t i = 0; i < gate.data.size(); i++) {
    const double g = gate.data[i], s = sigmoid(g), rest = sigmoid(-g);  // 1 - s without cancellation
    out.d_gate.data[i] = d_y.data[i] * up.data[i] * s * (1 + g * rest);
    out.d_up.data[i] = d_y.data[i] * g * s;
  }
  return out;
}

}  // namespace oneround::reference
