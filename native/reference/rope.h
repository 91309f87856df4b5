// Rotary embedding on x [M, H*D]: pair (i, i + D/2) of each head turns by the angle of (position, i); a row's
// position is its place in its segment. direction -1 turns back.
#pragma once

#include <span>

#include "engine/tensor_view.h"
#include "reference/grid.h"

namespace oneround::reference {

template <typename T>
Grid<T> rope(const Grid<T>& x, int64_t heads, int64_t head_dim, const Grid<double>& cos, const Grid<double>& sin,
             double direction, std::span<const Segment> segments) {
  Grid<T> y = x;
  const int64_t half = head_dim / 2;
  for (const Segment& segment : segments) {
    for (int64_t position = 0; position < segment.count; position++) {
      const int64_t m = segment.first + position;
      for (int64_t h = 0; h < heads; h++) {
        for (int64_t i = 0; i < half; i++) {
          const int64_t a = h * head_dim + i, b = a + half;
          const T c = static_cast<T>(cos(position, i)), s = static_cast<T>(direction * sin(position, i));
          y(m, a) = x(m, a) * c - x(m, b) * s;
          y(m, b) = x(m, b) * c + x(m, a) * s;
        }
      }
    }
  }
  return y;
}

}  // namespace oneround::reference
