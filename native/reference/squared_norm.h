// Sum of squares with Kahan's compensation, so that it is right to the last bits for any length.
#pragma once

#include <vector>

namespace oneround::reference {

inline double squared_norm(const std::vector<double>& x) {
  double sum = 0, lost = 0;
  for (double value : x) {
    const double term = value * value - lost, next = sum + term;
    lost = (next - sum) - term;
    sum = next;
  }
  return sum;
}

}  // namespace oneround::reference
