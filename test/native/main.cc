// native_tests [--isa NAME].. [--only TEXT] [--list]
// One line a row: ok|FAIL op isa shape error tolerance. Exit code 1 where a row failed, 2 for an unknown flag.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "op_table.h"

namespace {

// Why this machine cannot run the set; empty where it should.
std::string lacking(const std::string& isa) {
  if (isa == "scalar") return "";
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa == "avx2") {
    if (!__builtin_cpu_supports("avx2")) return "the CPU has no avx2";
    if (!__builtin_cpu_supports("fma")) return "the CPU has no fma";
    return "";
  }
  if (isa == "avx512" || isa == "avx512bf16" || isa == "avx512bf16+bf16") {
    if (!__builtin_cpu_supports("avx512f")) return "the CPU has no avx512f";
    if (!__builtin_cpu_supports("avx512bw")) return "the CPU has no avx512bw";
    if (!__builtin_cpu_supports("avx512vl")) return "the CPU has no avx512vl";
    if (!__builtin_cpu_supports("avx512dq")) return "the CPU has no avx512dq";
    if (isa != "avx512" && !__builtin_cpu_supports("avx512bf16")) return "the CPU has no avx512bf16";
    return "";
  }
  return "no set of this name";
#else
  return "not an x86-64 machine";
#endif
}

void backend_rows(oneround::test::Table& table) {
  using namespace oneround::test;
  linear_rows(table);
  linear_row_each_rows(table);
  linear_row_rows(table);
  linear_gradient_rows(table);
  kept_rows(table);
  linear_parts_rows(table);
  // In bf16 only products differ.
  if (table.isa().find('+') != std::string::npos) return scratch_rows(table);
  weight_rows(table);
  norm_rows(table);
  layer_norm_rows(table);
  bias_rows(table);
  rope_rows(table);
  attention_rows(table);
  attention_tree_rows(table);
  attention_row_rows(table);
  swiglu_rows(table);
  gelu_rows(table);
  dropout_rows(table);
  loss_rows(table);
  optimizer_rows(table);
  row_move_rows(table);
  scratch_rows(table);
  sgd_rows(table);
}

}  // namespace

int main(int argc, char** argv) {
  oneround::test::Table::Filter filter;
  std::vector<std::string> sets;
  for (int i = 1; i < argc; i++) {
    const std::string flag = argv[i];
    if (flag == "--list") {
      filter.list = true;
    } else if (flag == "--isa" && i + 1 < argc) {
      sets.push_back(argv[++i]);
    } else if (flag == "--only" && i + 1 < argc) {
      filter.only = argv[++i];
    } else {
      std::fprintf(stderr, "unknown flag %s; native_tests [--isa NAME].. [--only TEXT] [--list]\n", argv[i]);
      return 2;
    }
  }
  const std::vector<std::string> known = {"scalar", "avx2", "avx512", "avx512bf16", "avx512bf16+bf16"};
  if (sets.empty()) sets = known;
  for (const std::string& isa : sets) {
    if (std::ranges::find(known, isa) == known.end()) {
      std::fprintf(stderr, "unknown instruction set %s\n", isa.c_str());
      return 2;
    }
  }

  oneround::test::Table table(filter);
  oneround::test::reference_rows(table);
  oneround::test::base_weights_rows(table);
  oneround::test::thread_rows(table);
  int refused = 0;
  for (const std::string& isa : sets) {
    const std::string reason = lacking(isa);
    if (!reason.empty()) {
      std::printf("skipped %s: %s\n", isa.c_str(), reason.c_str());
    } else if (!table.use(isa)) {
      std::printf("FAIL create %s the machine has this set, but CpuBackend::create returned null\n", isa.c_str());
      refused++;
    } else {
      backend_rows(table);
    }
  }
  std::printf("rows %d failed %d\n", table.rows(), table.failures() + refused);
  return table.failures() + refused > 0 ? 1 : 0;
}
