#include "test_data.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <stdexcept>

#include "reference/dequantise.h"
#include "reference/quantise.h"

namespace oneround::test {

namespace {

constexpr uint32_t kGuardBits = 0x7fc0fade;  // a quiet NaN that no arithmetic makes
#if defined(__SANITIZE_ADDRESS__)
constexpr int64_t kGuard = 0;
#else
constexpr int64_t kGuard = 67;  // odd: rows are not aligned to a vector
#endif

float guard_value() {
  float value;
  std::memcpy(&value, &kGuardBits, 4);
  return value;
}

bool is_guard(const float& value) { return std::memcmp(&value, &kGuardBits, 4) == 0; }

}  // namespace

uint64_t Random::next() {
  uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

double Random::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

double Random::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

Floats::Floats(int64_t rows, int64_t cols, int64_t gap) : rows_(rows), cols_(cols), gap_(gap), guard_(kGuard) {
  // No gap after the last row: a matrix ends with its last element.
  const int64_t used = rows == 0 ? 0 : rows * (cols + gap) - gap;
  storage_.assign(static_cast<size_t>(used + 2 * guard_), guard_value());
  fill(0);
}

Floats Floats::normal(int64_t rows, int64_t cols, Random& random, double deviation, int64_t gap) {
  Floats out(rows, cols, gap);
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < cols; c++) out(r, c) = static_cast<float>(deviation * random.normal());
  }
  return out;
}

Floats Floats::of(const Grid<double>& values, int64_t gap) {
  Floats out(values.rows, values.cols, gap);
  for (int64_t r = 0; r < values.rows; r++) {
    for (int64_t c = 0; c < values.cols; c++) out(r, c) = static_cast<float>(values(r, c));
  }
  return out;
}

void Floats::fill(float value) {
  for (int64_t r = 0; r < rows_; r++) {
    for (int64_t c = 0; c < cols_; c++) *(at(r) + c) = value;
  }
}

Grid<double> Floats::grid() const {
  Grid<double> out(rows_, cols_);
  for (int64_t r = 0; r < rows_; r++) {
    for (int64_t c = 0; c < cols_; c++) out(r, c) = at(r)[c];
  }
  return out;
}

void Floats::check(const std::string& name) const {
  const int64_t used = static_cast<int64_t>(storage_.size()) - 2 * guard_;
  for (int64_t i = 0; i < static_cast<int64_t>(storage_.size()); i++) {
    const int64_t inside = i - guard_;
    if (inside >= 0 && inside < used && inside % (cols_ + gap_) < cols_) continue;
    if (!is_guard(storage_[static_cast<size_t>(i)])) {
      throw std::runtime_error("wrote outside " + name + " at element " + std::to_string(inside) + " of [" +
                               std::to_string(rows_) + ", " + std::to_string(cols_) + " + " + std::to_string(gap_) +
                               "]");
    }
  }
}

Part Floats::part(const std::string& name, double floor) const {
  check(name);
  return part_of(name, grid(), floor);
}

StoredWeight::StoredWeight(Type type, int64_t rows, int64_t cols, Random& random, int64_t interleaved_heads,
                           int64_t offset)
    : type_(type), rows_(rows), cols_(cols), heads_(interleaved_heads), offset_(offset) {
  std::vector<uint8_t> stored;
  if (std::ranges::find(kMoreBlocks, type) != std::end(kMoreBlocks)) {
    stored = reference::random_blocks(type, rows, cols, [&] { return random.next(); });
  } else {
    Grid<double> wanted(rows, cols);
    for (double& value : wanted.data) value = random.normal();
    stored = reference::quantise(type, wanted);
  }
  bytes_.assign(static_cast<size_t>(offset), 0xff);
  bytes_.insert(bytes_.end(), stored.begin(), stored.end());
  bytes_.shrink_to_fit();
  const Grid<double> file = reference::dequantise(type, stored.data(), rows, cols);
  values_ = interleaved_heads ? reference::undo_interleaving(file, interleaved_heads) : file;
}

StoredWeight StoredWeight::transposed(Type type, int64_t out, int64_t in, Random& random, int64_t offset) {
  StoredWeight weight(type, in, out, random, 0, offset);
  Grid<double> turned(out, in);
  for (int64_t r = 0; r < out; r++) {
    for (int64_t c = 0; c < in; c++) turned(r, c) = weight.values_(c, r);
  }
  weight.values_ = std::move(turned);
  weight.transposed_ = true;
  return weight;
}

Weight StoredWeight::view() const { return {bytes_.data() + offset_, type_, rows_, cols_, heads_, transposed_}; }

const char* name_of(Type type) {
  switch (type) {
    case Type::f32:
      return "f32";
    case Type::f16:
      return "f16";
    case Type::bf16:
      return "bf16";
    case Type::q4_1:
      return "q4_1";
    case Type::q8_0:
      return "q8_0";
    case Type::q4_0:
      return "q4_0";
    case Type::q5_0:
      return "q5_0";
    case Type::q5_1:
      return "q5_1";
    case Type::q2_k:
      return "q2_k";
    case Type::q3_k:
      return "q3_k";
    case Type::q4_k:
      return "q4_k";
    case Type::q5_k:
      return "q5_k";
    case Type::q6_k:
      return "q6_k";
    case Type::i32:
      return "i32";
  }
  return "?";
}

std::vector<Segment> segments_of(std::span<const int64_t> lengths) {
  std::vector<Segment> out;
  int64_t first = 0;
  for (int64_t length : lengths) {
    out.push_back({first, length, static_cast<uint32_t>(1000 + 17 * out.size())});
    first += length;
  }
  return out;
}

int64_t rows_of(std::span<const int64_t> lengths) {
  int64_t total = 0;
  for (int64_t length : lengths) total += length;
  return total;
}

std::string join(std::span<const int64_t> numbers) {
  std::string out;
  for (int64_t n : numbers) {
    if (!out.empty()) out += '+';
    out += std::to_string(n);
  }
  return out;
}

Part part_of(const std::string& name, const Grid<double>& values, double floor) { return {name, values.data, floor}; }

double norm(const Grid<double>& x) {
  double sum = 0;
  for (double value : x.data) sum += value * value;
  return std::sqrt(sum);
}

double sum_tolerance(int64_t n) { return kUnit * (3 + std::sqrt(static_cast<double>(n))); }

}  // namespace oneround::test
