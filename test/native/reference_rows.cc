// The reference proves itself: known answers, and its written-out gradients against complex steps.
#include <array>
#include <cmath>
#include <cstring>

#include "op_table.h"
#include "reference/attention.h"
#include "reference/complex_step.h"
#include "reference/cross_entropy.h"
#include "reference/dequantise.h"
#include "reference/gelu.h"
#include "reference/layer_norm.h"
#include "reference/linear.h"
#include "reference/philox.h"
#include "reference/quantise.h"
#include "reference/rms_norm.h"
#include "reference/rope.h"
#include "reference/swiglu.h"
#include "test_data.h"

namespace oneround::test {

namespace {

using reference::Complex;
using reference::complex_step;
using reference::convert;
using reference::total_loss;

// Both sides are double: a few hundred roundings of 1e-16.
constexpr double kDouble = 1e-13;

Grid<double> random_grid(int64_t rows, int64_t cols, Random& random) {
  Grid<double> out(rows, cols);
  for (double& value : out.data) value = random.normal();
  return out;
}

double difference(const Grid<double>& got, const Grid<double>& expected) {
  return relative_error({part_of("", got)}, {part_of("", expected)});
}

// Random123's kat_vectors for philox4x32-10 (Salmon et al., tests/kat_vectors).
double philox_known_answers() {
  using Words = std::array<uint32_t, 4>;
  const uint32_t ones = 0xffffffff;
  const bool right =
      reference::philox4x32({0, 0}, {0, 0, 0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8} &&
      reference::philox4x32({ones, ones}, {ones, ones, ones, ones}) ==
          Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd} &&
      reference::philox4x32({0xa4093822, 0x299f31d0}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
  return right ? 0 : 1;
}

void storage(Table& table) {
  table.row("philox", "known-answers", 0, philox_known_answers);
  table.row("f16", "all-finite-there-and-back", 0, [] {
    int wrong = 0;
    for (uint32_t bits = 0; bits < 65536; bits++) {
      if ((bits >> 10 & 31) == 31) continue;
      const double value = reference::f16_to_double(static_cast<uint16_t>(bits));
      if (reference::double_to_f16(value) != bits) wrong++;
    }
    return static_cast<double>(wrong);
  });
  table.row("f16", "known-values", 0, [] {
    return std::fabs(reference::f16_to_double(0x3c00) - 1) + std::fabs(reference::f16_to_double(0xc000) + 2) +
           std::fabs(reference::f16_to_double(0x7bff) - 65504) + std::fabs(reference::f16_to_double(1) - 0x1p-24) +
           std::fabs(reference::bf16_to_double(0x4049) - 3.140625);
  });
  // One rounding of each type: half a unit in the last place; for blocks half a level of the range or the largest.
  for (const auto& [type, tolerance] :
       {std::pair{Type::f16, 0x1p-11}, {Type::bf16, 0x1p-8}, {Type::q8_0, 0.01}, {Type::q4_1, 0.1}}) {
    table.row("quantise", name_of(type), tolerance, [type = type] {
      Random random(3);
      const Grid<double> x = random_grid(6, 96, random);
      return difference(reference::dequantise(type, reference::quantise(type, x).data(), 6, 96), x);
    });
  }
  table.row("dequantise", "q4_1-by-hand", 0, [] {
    uint8_t block[20] = {0x00, 0x40, 0x00, 0xbc};  // scale 2, minimum -1
    block[4] = 0x51;                               // element 0 is 1, element 16 is 5
    return std::fabs(reference::stored_element(Type::q4_1, block, 0) - 1) +
           std::fabs(reference::stored_element(Type::q4_1, block, 16) - 9) +
           std::fabs(reference::stored_element(Type::q4_1, block, 1) + 1);
  });
  table.row("dequantise", "q8_0-by-hand", 0, [] {
    uint8_t block[34] = {0x00, 0x38};  // scale 0.5
    block[2] = 0x80;
    block[33] = 7;
    return std::fabs(reference::stored_element(Type::q8_0, block, 0) + 64) +
           std::fabs(reference::stored_element(Type::q8_0, block, 31) - 3.5);
  });
  // file_row of the engine and the reshape of the reference are written apart and must agree.
  table.row("interleaved_heads", "file_row", 0, [] {
    double worst = 0;
    for (const auto& [heads, head_dim] : {std::pair<int64_t, int64_t>{1, 2}, {2, 4}, {3, 12}, {9, 64}}) {
      Grid<double> file(heads * head_dim, 1);
      for (int64_t r = 0; r < file.rows; r++) file(r, 0) = static_cast<double>(r);
      const Grid<double> order = reference::undo_interleaving(file, heads);
      const Weight weight{nullptr, Type::f32, file.rows, 1, heads};
      for (int64_t r = 0; r < file.rows; r++) {
        worst = std::max(worst, std::fabs(order(r, 0) - static_cast<double>(weight.file_row(r))));
      }
    }
    return worst;
  });
}

void gradients(Table& table) {
  table.row("linear", "d_x-complex-step", kDouble, [] {
    Random random(5);
    const Grid<double> x = random_grid(4, 9, random), w = random_grid(6, 9, random), d_y = random_grid(4, 6, random);
    return difference(reference::linear_d_x(d_y, w, 1.5), complex_step(x, [&](const Grid<Complex>& moved) {
                        return total_loss(reference::linear(moved, convert<Complex>(w), 1.5), d_y);
                      }));
  });
  table.row("linear", "d_w-complex-step", kDouble, [] {
    Random random(6);
    const Grid<double> x = random_grid(4, 9, random), w = random_grid(6, 9, random), d_y = random_grid(4, 6, random);
    return difference(reference::linear_d_w(d_y, x, 1.5), complex_step(w, [&](const Grid<Complex>& moved) {
                        return total_loss(reference::linear(convert<Complex>(x), moved, 1.5), d_y);
                      }));
  });
  table.row("rms_norm", "complex-step", kDouble, [] {
    Random random(7);
    const Grid<double> x = random_grid(3, 11, random), w = random_grid(1, 11, random), d_y = random_grid(3, 11, random);
    const auto got = reference::rms_norm_backward(x, w, 1e-5, d_y);
    const auto loss = [&](const Grid<Complex>& a, const Grid<Complex>& b) {
      return total_loss(reference::rms_norm(a, b, 1e-5).y, d_y);
    };
    return std::max(
        difference(got.d_x, complex_step(x, [&](const auto& moved) { return loss(moved, convert<Complex>(w)); })),
        difference(got.d_weight, complex_step(w, [&](const auto& moved) { return loss(convert<Complex>(x), moved); })));
  });
  table.row("rope", "complex-step", kDouble, [] {
    Random random(8);
    const int64_t lengths[] = {1, 4};
    const auto segments = segments_of(lengths);
    const Grid<double> x = random_grid(5, 24, random), d_y = random_grid(5, 24, random);
    Grid<double> cos(4, 4), sin(4, 4);
    for (size_t i = 0; i < cos.data.size(); i++) {
      const double angle = random.normal();
      cos.data[i] = std::cos(angle);
      sin.data[i] = std::sin(angle);
    }
    return difference(reference::rope(d_y, 3, 8, cos, sin, -1, segments),
                      complex_step(x, [&](const Grid<Complex>& moved) {
                        return total_loss(reference::rope(moved, 3, 8, cos, sin, 1, segments), d_y);
                      }));
  });
  table.row("layer_norm", "complex-step", kDouble, [] {
    Random random(12);
    const Grid<double> x = random_grid(3, 11, random), w = random_grid(1, 11, random), d_y = random_grid(3, 11, random);
    const Grid<double> bias = random_grid(1, 11, random);
    const auto got = reference::layer_norm_backward(x, w, 1e-5, d_y);
    const Grid<Complex> xc = convert<Complex>(x), wc = convert<Complex>(w), bc = convert<Complex>(bias);
    const auto loss = [&](const Grid<Complex>& a, const Grid<Complex>& b, const Grid<Complex>& c) {
      return total_loss(reference::layer_norm(a, b, c, 1e-5).y, d_y);
    };
    return std::max(
        {difference(got.d_x, complex_step(x, [&](const auto& moved) { return loss(moved, wc, bc); })),
         difference(got.d_weight, complex_step(w, [&](const auto& moved) { return loss(xc, moved, bc); })),
         difference(got.d_bias, complex_step(bias, [&](const auto& moved) { return loss(xc, wc, moved); }))});
  });
  table.row("gelu", "complex-step", kDouble, [] {
    Random random(13);
    Grid<double> x = random_grid(4, 13, random), d_y = random_grid(4, 13, random);
    x(0, 0) = 20;
    x(0, 1) = -20;
    return difference(reference::gelu_backward(x, d_y), complex_step(x, [&](const Grid<Complex>& moved) {
                        return total_loss(reference::gelu(moved), d_y);
                      }));
  });
  // torch.nn.functional.gelu(x, approximate='tanh') in double at 1, -0.5 and 3
  table.row("gelu", "known-values", 1e-12, [] {
    Grid<double> x(1, 3), y(1, 3);
    x.data = {1, -0.5, 3};
    y.data = {0.8411919906082768, -0.15428599017485606, 2.996362607918227};
    return difference(reference::gelu(x), y);
  });
  for (int64_t window : {0, 1, 4})
    table.row("attention", "complex-step,window=" + std::to_string(window), kDouble, [window] {
      Random random(9);
      const int64_t lengths[] = {1, 6, 3};
      const auto segments = segments_of(lengths);
      const AttentionShape shape{4, 2, 6, window};
      const Grid<double> q = random_grid(10, 24, random), k = random_grid(10, 12, random),
                         v = random_grid(10, 12, random), d_y = random_grid(10, 24, random);
      const Grid<Complex> qc = convert<Complex>(q), kc = convert<Complex>(k), vc = convert<Complex>(v);
      const auto loss = [&](const Grid<Complex>& a, const Grid<Complex>& b, const Grid<Complex>& c) {
        return total_loss(reference::attention(a, b, c, shape, segments).y, d_y);
      };
      const auto got = reference::attention_backward(q, k, v, shape, d_y, segments);
      return std::max({difference(got.d_q, complex_step(q, [&](const auto& moved) { return loss(moved, kc, vc); })),
                       difference(got.d_k, complex_step(k, [&](const auto& moved) { return loss(qc, moved, vc); })),
                       difference(got.d_v, complex_step(v, [&](const auto& moved) { return loss(qc, kc, moved); }))});
    });
  table.row("swiglu", "complex-step", kDouble, [] {
    Random random(10);
    Grid<double> gate = random_grid(4, 13, random), up = random_grid(4, 13, random), d_y = random_grid(4, 13, random);
    gate(0, 0) = 40;
    gate(0, 1) = -40;
    const auto got = reference::swiglu_backward(gate, up, d_y);
    return std::max(difference(got.d_gate, complex_step(gate,
                                                        [&](const Grid<Complex>& moved) {
                                                          return total_loss(
                                                              reference::swiglu(moved, convert<Complex>(up)), d_y);
                                                        })),
                    difference(got.d_up, complex_step(up, [&](const Grid<Complex>& moved) {
                                 return total_loss(reference::swiglu(convert<Complex>(gate), moved), d_y);
                               })));
  });
  table.row("cross_entropy", "complex-step", kDouble, [] {
    Random random(11);
    const Grid<double> logits = random_grid(4, 17, random);
    const int32_t labels[] = {0, 16, 3, 3};
    return difference(reference::cross_entropy_backward(logits, labels, 0.25),
                      complex_step(logits, [&](const Grid<Complex>& moved) {
                        Complex total = 0;
                        for (const Complex& loss : reference::cross_entropy(moved, labels)) total += 0.25 * loss;
                        return total;
                      }));
  });
}

}  // namespace

void reference_rows(Table& table) {
  table.use_reference();
  storage(table);
  gradients(table);
}

}  // namespace oneround::test
