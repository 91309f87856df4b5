#include "op_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <limits>
#include <stdexcept>

namespace oneround::test {

double relative_error(const Parts& got, const Parts& expected) {
  const double infinity = std::numeric_limits<double>::infinity();
  if (got.size() != expected.size()) return infinity;
  double worst = 0;
  for (size_t p = 0; p < got.size(); p++) {
    const auto &a = got[p].values, &b = expected[p].values;
    if (a.size() != b.size()) return infinity;
    double difference = 0, norm = 0;
    for (size_t i = 0; i < a.size(); i++) {
      if (std::isnan(b[i]) && std::isnan(a[i])) continue;
      if (a[i] == b[i] && std::isinf(b[i])) continue;
      difference += (a[i] - b[i]) * (a[i] - b[i]);
      norm += b[i] * b[i];
    }
    if (!std::isfinite(difference)) return infinity;
    if (difference == 0) continue;
    const double against = std::max(std::sqrt(norm), expected[p].floor);
    worst = std::max(worst, against == 0 ? infinity : std::sqrt(difference) / against);
  }
  return worst;
}

double bit_difference(const Parts& a, const Parts& b) {
  const double infinity = std::numeric_limits<double>::infinity();
  if (a.size() != b.size()) return infinity;
  double worst = 0;
  for (size_t p = 0; p < a.size(); p++) {
    if (a[p].values.size() != b[p].values.size()) return infinity;
    for (size_t i = 0; i < a[p].values.size(); i++) {
      const double x = a[p].values[i], y = b[p].values[i];
      if (std::memcmp(&x, &y, sizeof x) == 0) continue;
      const double difference = std::fabs(x - y);
      if (std::isnan(difference)) return infinity;
      worst = std::max({worst, difference, std::numeric_limits<double>::denorm_min()});
    }
  }
  return worst;
}

bool Table::use(const std::string& isa) {
  backends_.clear();
  isa_ = isa;
  return make(1) != nullptr;
}

std::unique_ptr<CpuBackend> Table::make(int threads) const {
  const size_t plus = isa_.find('+');
  return CpuBackend::create(threads, isa_.substr(0, plus).c_str(),
                            plus == std::string::npos ? Compute::f32 : Compute::bf16);
}

double Table::product_tolerance(double exact) const {
  return isa_.find('+') == std::string::npos ? exact : exact + 3.0 / 256;
}

void Table::use_reference() {
  backends_.clear();
  isa_ = "reference";
}

const Backend& Table::on(int threads) {
  auto& backend = backends_[threads];
  if (!backend) {
    backend = make(threads);
    if (!backend) throw std::runtime_error("no backend for " + std::to_string(threads) + " threads");
    if (!backend->reserve(2400, 4096, 512, {9, 9, 64})) throw std::runtime_error("reserve refused");
    if (backend->table().version != kBackendVersion) throw std::runtime_error("another version of the interface");
  }
  return backend->table();
}

void Table::row(const std::string& op, const std::string& shape, double tolerance,
                const std::function<double()>& error) {
  if (!filter_.only.empty() && (op + " " + shape).find(filter_.only) == std::string::npos) return;
  rows_++;
  if (filter_.list) {
    std::printf("%s %s %s\n", op.c_str(), isa_.c_str(), shape.c_str());
    return;
  }
  double found = std::numeric_limits<double>::infinity();
  std::string note;
  try {
    found = error();
  } catch (const std::exception& e) {
    note = std::string(" ") + e.what();
  }
  const bool ok = found <= tolerance;  // false for NaN
  if (!ok) failures_++;
  std::printf("%s %s %s %s %.3g %.3g%s\n", ok ? "ok" : "FAIL", op.c_str(), isa_.c_str(), shape.c_str(), found,
              tolerance, note.c_str());
  std::fflush(stdout);
}

void Table::compare(const std::string& op, const std::string& shape, double tolerance,
                    const std::function<Parts(const Backend&)>& run, const std::function<Parts()>& expected) {
  row(op, shape, tolerance, [&] { return relative_error(run(on(1)), expected()); });
  row(op + ".threads", shape, 0, [&] {
    const Parts one = run(on(1));
    return std::max(bit_difference(run(on(2)), one), bit_difference(run(on(3)), one));
  });
}

void Table::same_bits(const std::string& op, const std::string& shape, const std::function<Parts()>& a,
                      const std::function<Parts()>& b) {
  row(op, shape, 0, [&] { return bit_difference(a(), b()); });
}

}  // namespace oneround::test
