// The op table: every row runs one operation of a Backend on one shape and says how far it is from what it should be.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "ops/cpu_backend.h"

namespace oneround::test {

// One output of an operation, flattened. `floor` keeps a relative error meaningful where the exact result is near
// zero (a sum that cancels): errors are taken against max(norm, floor).
struct Part {
  std::string name;
  std::vector<double> values;
  double floor = 0;
};
using Parts = std::vector<Part>;

// The largest relative error of a part, ||got - expected|| / max(||expected||, floor); infinite for a NaN that is
// not expected or another length.
double relative_error(const Parts& got, const Parts& expected);
// 0 where every value has the same bits; else the largest difference, at least the smallest double.
double bit_difference(const Parts& a, const Parts& b);

class Table {
 public:
  struct Filter {
    bool list = false;
    std::string only;  // rows whose "op shape" contains this
  };
  explicit Table(Filter filter) : filter_(std::move(filter)) {}

  // Rows after this run on that set; "+bf16" behind its name: with products in bf16. False: the machine lacks it.
  bool use(const std::string& isa);
  // Rows after this test the reference itself and need no backend.
  void use_reference();

  // Measures one row: `error` must be <= tolerance. What it throws is a failure with its words.
  void row(const std::string& op, const std::string& shape, double tolerance, const std::function<double()>& error);
  // Two rows: `run` against `expected`, and `run` on 2 and 3 threads bit for bit as on one.
  void compare(const std::string& op, const std::string& shape, double tolerance,
               const std::function<Parts(const Backend&)>& run, const std::function<Parts()>& expected);
  // One row: both give the same bits.
  void same_bits(const std::string& op, const std::string& shape, const std::function<Parts()>& a,
                 const std::function<Parts()>& b);

  // The backend with that many threads, with scratch for every shape of the table.
  const Backend& on(int threads = 1);
  // The set in use, for rows that make a backend of their own.
  const std::string& isa() const { return isa_; }
  std::unique_ptr<CpuBackend> make(int threads) const;
  // What a product may be off: `exact` holds in f32. In bf16 (unit roundoff 2^-8) both operands of a term are rounded,
  // and a factor's inner result once more: three units. Sums of many terms stay near half a unit.
  double product_tolerance(double exact) const;

  int rows() const { return rows_; }
  int failures() const { return failures_; }

 private:
  Filter filter_;
  std::string isa_ = "reference";
  std::map<int, std::unique_ptr<CpuBackend>> backends_;
  int rows_ = 0;
  int failures_ = 0;
};

// One group of operations a file.
void reference_rows(Table& table);
void linear_rows(Table& table);
void linear_row_each_rows(Table& table);
void linear_row_rows(Table& table);
void linear_gradient_rows(Table& table);
void kept_rows(Table& table);
void linear_parts_rows(Table& table);
void weight_rows(Table& table);
void norm_rows(Table& table);
void layer_norm_rows(Table& table);
void bias_rows(Table& table);
void rope_rows(Table& table);
void attention_rows(Table& table);
void attention_tree_rows(Table& table);
void attention_row_rows(Table& table);
void swiglu_rows(Table& table);
void gelu_rows(Table& table);
void dropout_rows(Table& table);
void loss_rows(Table& table);
void optimizer_rows(Table& table);
void row_move_rows(Table& table);
void scratch_rows(Table& table);
void sgd_rows(Table& table);
// Need no backend.
void base_weights_rows(Table& table);
void thread_rows(Table& table);

}  // namespace oneround::test
