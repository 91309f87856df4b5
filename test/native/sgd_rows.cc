// sgd over flat buffers of any length, thirty steps long.
#include "op_table.h"
#include "reference/sgd.h"
#include "test_data.h"

namespace oneround::test {

namespace {

constexpr int kSteps = 30;

Floats gradient_of(int64_t count, int step) {
  Random random(static_cast<uint64_t>(count * 1000 + step));
  return Floats::normal(1, count, random, 0.1);
}

Floats start(int64_t count) {
  Random random(19);
  return Floats::normal(1, count, random, 0.05);
}

Parts run(const Backend& b, int64_t count, const Sgd& o) {
  Floats p = start(count), velocity(1, count);
  for (int step = 0; step < kSteps; step++) {
    Floats g = gradient_of(count, step);
    b.sgd(b.self, p.data(), g.data(), velocity.data(), count, o);
    g.check("gradient");
  }
  p.check("parameters");
  return {p.part("parameters"), velocity.part("velocity")};
}

Parts expected(int64_t count, const Sgd& o) {
  reference::SgdState state{start(count).grid().data, std::vector<double>(static_cast<size_t>(count))};
  for (int step = 0; step < kSteps; step++) reference::sgd(state, gradient_of(count, step).grid().data, o);
  return {{"parameters", state.parameters}, {"velocity", state.velocity}};
}

}  // namespace

void sgd_rows(Table& table) {
  const std::pair<const char*, Sgd> settings[] = {{"plain", {0.05, 0, 0, false, 1}},
                                                  {"momentum=0.9,decay=1e-2", {0.05, 0.9, 1e-2, false, 1}},
                                                  {"nesterov=0.9,scale=0.25", {0.05, 0.9, 1e-3, true, 0.25}}};
  for (int64_t count : {1, 7, 33, 1000, 65537})
    for (const auto& [name, o] : settings)
      // Thirty steps of some five roundings each.
      table.compare(
          "sgd", "count=" + std::to_string(count) + ",steps=30," + name, 40 * kUnit,
          [&, o = o](const Backend& b) { return run(b, count, o); }, [&, o = o] { return expected(count, o); });
}

}  // namespace oneround::test
