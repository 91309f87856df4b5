// embed, embed_backward, add, gather_rows, scatter_rows: where there is one right answer, to the bit.
#include <limits>
#include <numeric>

#include "op_table.h"
#include "reference/dequantise.h"
#include "reference/embed.h"
#include "test_data.h"

namespace oneround::test {

namespace {

std::vector<int32_t> ids_of(int64_t m, int64_t limit) {
  Random random(static_cast<uint64_t>(m * 3 + limit));
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < m; i++) ids.push_back(static_cast<int32_t>(random.below(limit)));
  ids.back() = static_cast<int32_t>(limit - 1);
  return ids;
}

std::string shape_of(int64_t m, int64_t k, int64_t gap) {
  return "M=" + std::to_string(m) + ",K=" + std::to_string(k) + (gap ? ",gap=" + std::to_string(gap) : "");
}

void embed_rows(Table& table) {
  int turn = 0;
  for (Type type : kStorageTypes) {
    // scale * q is exact in float; q4_1 rounds once, when the minimum is added.
    const double tolerance = type == Type::q4_1 ? kUnit : 0;
    for (int64_t m : {1, 2, 7, 29, 130}) {
      for (int64_t k :
           block_elements(type) > 1 ? std::vector<int64_t>{32, 96, 576} : std::vector<int64_t>{1, 33, 257, 576}) {
        const int64_t gap = turn % 3 == 2 ? 7 : 0, offset = turn % 2, vocabulary = 43;
        turn++;
        const std::vector<int32_t> ids = ids_of(m, vocabulary);
        Random random(static_cast<uint64_t>(k));
        const StoredWeight stored(type, vocabulary, k, random, 0, offset);
        table.compare(
            "embed", shape_of(m, k, gap) + "," + name_of(type), tolerance,
            [&](const Backend& b) {
              Floats y(m, k, gap);
              y.fill(std::numeric_limits<float>::quiet_NaN());
              b.embed(b.self, ids.data(), stored.view(), y.view());
              return Parts{y.part("y")};
            },
            [&] { return Parts{part_of("y", reference::embed(std::span<const int32_t>(ids), stored.values()))}; });
      }
    }
  }
  // Every f16 and every bf16 there is, subnormal, infinite and not a number too.
  for (Type type : {Type::f16, Type::bf16}) {
    table.row("embed.every_value", name_of(type), 0, [&] {
      std::vector<uint8_t> bytes;
      for (uint32_t bits = 0; bits < 65536; bits++) {
        bytes.push_back(static_cast<uint8_t>(bits & 255));
        bytes.push_back(static_cast<uint8_t>(bits >> 8));
      }
      std::vector<int32_t> ids(256);
      std::iota(ids.begin(), ids.end(), 0);
      Floats y(256, 256);
      const Backend& b = table.on(1);
      b.embed(b.self, ids.data(), {bytes.data(), type, 256, 256, 0}, y.view());
      return relative_error({y.part("y")}, {part_of("y", reference::dequantise(type, bytes.data(), 256, 256))});
    });
  }
}

void embed_backward_rows(Table& table) {
  for (int64_t m : {1, 2, 7, 29, 130, 300}) {
    for (int64_t k : {1, 33, 257}) {
      const std::vector<int32_t> ids = ids_of(m, 11);  // few, so that most repeat
      const auto make = [&] {
        Random random(static_cast<uint64_t>(m + k));
        Floats d_y = Floats::normal(m, k, random), d_table = Floats::normal(11, k, random);
        return std::pair{std::move(d_y), std::move(d_table)};
      };
      table.compare(
          "embed_backward", shape_of(m, k, 0) + ",V=11", 0,
          [&](const Backend& b) {
            auto [d_y, d_table] = make();
            b.embed_backward(b.self, ids.data(), d_y.view(), d_table.view());
            return Parts{d_table.part("d_table")};
          },
          [&] {
            auto [d_y, d_table] = make();
            Grid<float> sum = reference::convert<float>(d_table.grid());
            reference::embed_backward(std::span<const int32_t>(ids), reference::convert<float>(d_y.grid()), sum);
            return Parts{part_of("d_table", reference::convert<double>(sum))};
          });
    }
  }
}

void add_and_moves(Table& table) {
  for (int64_t m : {1, 3, 13, 64, 130}) {
    for (int64_t k : {1, 33, 65, 576}) {
      for (int64_t gap : {0, 7}) {
        Random random(static_cast<uint64_t>(m * 19 + k));
        Floats x = Floats::normal(m, k, random, 1, gap), y = Floats::normal(m, k, random, 1, gap);
        table.compare(
            "add", shape_of(m, k, gap), 0,
            [&](const Backend& b) {
              Floats sum = y;
              b.add(b.self, x.view(), sum.view());
              return Parts{sum.part("y")};
            },
            [&] {
              Grid<double> sum(m, k);
              for (int64_t r = 0; r < m; r++) {
                for (int64_t c = 0; c < k; c++) sum(r, c) = static_cast<double>(x(r, c) + y(r, c));
              }
              return Parts{part_of("y", sum)};
            });
        table.compare(
            "copy", shape_of(m, k, gap), 0,
            [&](const Backend& b) {
              Floats out(m, k, gap);
              b.copy(b.self, x.view(), out.view());
              return Parts{out.part("y")};
            },
            [&] { return Parts{part_of("y", x.grid())}; });
        // Every second row, last first.
        std::vector<int32_t> rows;
        for (int64_t r = m - 1; r >= 0; r -= 2) rows.push_back(static_cast<int32_t>(r));
        const int64_t n = static_cast<int64_t>(rows.size());
        table.compare(
            "gather_rows", shape_of(m, k, gap), 0,
            [&](const Backend& b) {
              Floats out(n, k, gap);
              b.gather_rows(b.self, x.view(), rows.data(), out.view());
              return Parts{out.part("y")};
            },
            [&] { return Parts{part_of("y", reference::embed(std::span<const int32_t>(rows), x.grid()))}; });
        table.compare(
            "scatter_rows", shape_of(m, k, gap), 0,
            [&](const Backend& b) {
              Floats from(n, k, gap), out = y;
              for (int64_t i = 0; i < n; i++) {
                for (int64_t c = 0; c < k; c++) from(i, c) = x(i, c);
              }
              b.scatter_rows(b.self, from.view(), rows.data(), out.view());
              return Parts{out.part("y")};
            },
            [&] {
              Grid<double> expected = y.grid();
              for (int64_t i = 0; i < n; i++) {
                for (int64_t c = 0; c < k; c++) expected(rows[static_cast<size_t>(i)], c) = x(i, c);
              }
              return Parts{part_of("y", expected)};
            });
      }
    }
  }
}

}  // namespace

void row_move_rows(Table& table) {
  embed_rows(table);
  embed_backward_rows(table);
  add_and_moves(table);
}

}  // namespace oneround::test
