// A row-major matrix that owns its elements, for double and std::complex<double>.
#pragma once

#include <cstdint>
#include <vector>

namespace oneround::reference {

template <typename T>
struct Grid {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<T> data;

  Grid() = default;
  Grid(int64_t r, int64_t c) : rows(r), cols(c), data(static_cast<size_t>(r * c)) {}
  T& operator()(int64_t r, int64_t c) { return data[static_cast<size_t>(r * cols + c)]; }
  const T& operator()(int64_t r, int64_t c) const { return data[static_cast<size_t>(r * cols + c)]; }
};

template <typename T, typename U>
Grid<T> convert(const Grid<U>& from) {
  Grid<T> to(from.rows, from.cols);
  for (size_t i = 0; i < from.data.size(); i++) to.data[i] = static_cast<T>(from.data[i]);
  return to;
}

}  // namespace oneround::reference
