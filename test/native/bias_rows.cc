// add_bias and bias_backward, to the bit: a sum has one right order of its terms.
#include "op_table.h"
#include "test_data.h"

namespace oneround::test {

namespace {

std::string shape_of(std::span<const int64_t> lengths, int64_t n, int64_t gap) {
  return "segments=" + join(lengths) + ",N=" + std::to_string(n) + (gap ? ",gap=" + std::to_string(gap) : "");
}

void bias_case(Table& table, const std::vector<int64_t>& lengths, int64_t n, int64_t gap) {
  const int64_t m = rows_of(lengths);
  const auto segments = segments_of(lengths);
  const auto make = [=] {
    Random random(static_cast<uint64_t>(m * 41 + n));
    Floats y = Floats::normal(m, n, random, 1, gap), bias = Floats::normal(1, n, random);
    return std::pair{std::move(y), std::move(bias)};
  };
  table.compare(
      "add_bias", shape_of(lengths, n, gap), 0,
      [&](const Backend& b) {
        auto [y, bias] = make();
        b.add_bias(b.self, bias.data(), y.view());
        bias.check("bias");
        return Parts{y.part("y")};
      },
      [&] {
        auto [y, bias] = make();
        Grid<double> sum(m, n);
        for (int64_t r = 0; r < m; r++) {
          for (int64_t c = 0; c < n; c++) sum(r, c) = static_cast<double>(y(r, c) + bias(0, c));
        }
        return Parts{part_of("y", sum)};
      });
  // Rows of a segment in their order, then segments in theirs, on top of what is there; in float.
  table.compare(
      "bias_backward", shape_of(lengths, n, gap), 0,
      [&](const Backend& b) {
        auto [d_y, d_bias] = make();
        b.bias_backward(b.self, d_y.view(), d_bias.data(), view(segments));
        d_y.check("d_y");
        return Parts{d_bias.part("d_bias")};
      },
      [&] {
        auto [d_y, d_bias] = make();
        for (const Segment& segment : segments) {
          for (int64_t c = 0; c < n; c++) {
            float sum = 0;
            for (int64_t r = segment.first; r < segment.first + segment.count; r++) sum += d_y(r, c);
            d_bias(0, c) += sum;
          }
        }
        return Parts{d_bias.part("d_bias")};
      });
}

}  // namespace

void bias_rows(Table& table) {
  int turn = 0;
  for (const auto& lengths : std::vector<std::vector<int64_t>>{{1}, {2}, {1, 3, 7}, {13, 1, 29, 64}, {300}}) {
    for (int64_t n : {1, 33, 64, 65, 257, 2304}) bias_case(table, lengths, n, turn++ % 3 == 2 ? 7 : 0);
  }
}

}  // namespace oneround::test
