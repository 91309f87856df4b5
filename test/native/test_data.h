// Seeded inputs, and buffers that notice a write beside what they lend.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor_view.h"
#include "op_table.h"
#include "reference/grid.h"

namespace oneround::test {

using reference::Grid;

// splitmix64 (Steele, Lea, Flood, OOPSLA 2014): small, seeded, the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  double uniform();  // [0, 1)
  double normal();   // mean 0, variance 1
  int64_t below(int64_t limit) { return static_cast<int64_t>(uniform() * static_cast<double>(limit)); }

 private:
  uint64_t state_;
};

// A matrix of floats with `gap` unused floats after every row, between two guard zones; guards and gaps hold a NaN of
// a certain bit pattern, so a use of them poisons the result and a write to them is found. Under AddressSanitizer the
// guards are empty: there the allocation's own edge is the finer guard.
class Floats {
 public:
  Floats(int64_t rows, int64_t cols, int64_t gap = 0);
  static Floats normal(int64_t rows, int64_t cols, Random& random, double deviation = 1, int64_t gap = 0);
  static Floats of(const Grid<double>& values, int64_t gap = 0);

  Matrix view() { return {at(0), rows_, cols_, cols_ + gap_}; }
  float* data() { return at(0); }
  float& operator()(int64_t r, int64_t c) { return *(at(r) + c); }
  Grid<double> grid() const;
  void fill(float value);

  // The elements as a part of a result; throws where a guard or gap was written.
  Part part(const std::string& name, double floor = 0) const;
  void check(const std::string& name) const;

 private:
  float* at(int64_t r) { return storage_.data() + guard_ + r * (cols_ + gap_); }
  const float* at(int64_t r) const { return storage_.data() + guard_ + r * (cols_ + gap_); }

  int64_t rows_, cols_, gap_, guard_;
  std::vector<float> storage_;
};

// A base weight in a storage type: its bytes, starting at an odd address where `offset` is odd, and the double values
// that they mean, rows in Hugging Face's order. `rows` and `cols` are as stored.
class StoredWeight {
 public:
  StoredWeight(Type type, int64_t rows, int64_t cols, Random& random, int64_t interleaved_heads = 0,
               int64_t offset = 0);
  // A layer [out, in] that its file holds as [in, out].
  static StoredWeight transposed(Type type, int64_t out, int64_t in, Random& random, int64_t offset = 0);
  Weight view() const;
  // [out, in]
  const Grid<double>& values() const { return values_; }

 private:
  Type type_;
  int64_t rows_, cols_, heads_, offset_;
  bool transposed_ = false;
  std::vector<uint8_t> bytes_;
  Grid<double> values_;
};

constexpr Type kStorageTypes[] = {Type::f32, Type::f16, Type::bf16, Type::q4_1, Type::q8_0};
// The other blocks of GGUF.
constexpr Type kMoreBlocks[] = {Type::q4_0, Type::q5_0, Type::q5_1, Type::q2_k,
                                Type::q3_k, Type::q4_k, Type::q5_k, Type::q6_k};
const char* name_of(Type type);

// Segments of these lengths, one after the other, with distinct dropout counters.
std::vector<Segment> segments_of(std::span<const int64_t> lengths);
inline Segments view(const std::vector<Segment>& s) { return {s.data(), static_cast<int64_t>(s.size())}; }
int64_t rows_of(std::span<const int64_t> lengths);
std::string join(std::span<const int64_t> numbers);  // "1+3+7"

Part part_of(const std::string& name, const Grid<double>& values, double floor = 0);
double norm(const Grid<double>& x);

// f32's unit roundoff: the largest relative error of one rounding.
constexpr double kUnit = 1.0 / (1 << 24);

// A sum of n products in a chain of roundings: every partial sum (of size ~ sqrt(j) after j terms) is rounded with an
// error up to kUnit of it, so the error against the result's own size sqrt(n) grows like kUnit * sqrt(n / 6). Two and
// a half times that, plus a few roundings at the ends.
double sum_tolerance(int64_t n);

}  // namespace oneround::test
