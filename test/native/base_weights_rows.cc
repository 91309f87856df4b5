// BaseWeights::open against files and placements that lie: each must be refused with a code, and never read outside the
// file (this table also runs under AddressSanitizer). An error of 0 is the expected refusal, 1 anything else.
#include <cstdio>
#include <filesystem>

#include "models/base_weights.h"
#include "op_table.h"
#include "tiny_model.h"

namespace oneround::test {

namespace {

using Model = TinyModel;

Code open(const Model& model) {
  std::shared_ptr<const BaseWeights> base;
  const Code code = BaseWeights::open(model.shape, {model.path}, model.tensors, &base).code;
  // Every byte that was promised can be read.
  if (base != nullptr)
    for (const Placement& p : model.tensors) {
      const Weight& w = *base->find(p.name);
      volatile uint8_t sink = 0;
      for (int64_t r = 0; r < w.rows; r++) sink = sink ^ w.row(r)[row_bytes(w.type, w.cols) - 1];
    }
  return code;
}

void lie(Table& table, const std::string& name, Code expected, const std::function<void(Model&)>& change) {
  table.row("base_weights", name, 0, [&] {
    Model model = tiny_model();
    change(model);
    const Code code = open(model);
    std::filesystem::remove(model.path);
    return code == expected ? 0.0 : 1.0;
  });
}

}  // namespace

void base_weights_rows(Table& table) {
  constexpr int64_t kHuge = int64_t{1} << 62;
  lie(table, "whole", Code::ok, [](Model&) {});
  lie(table, "no such file", Code::io, [](Model& m) {
    std::filesystem::remove(m.path);
    m.path += "-absent";
  });
  lie(table, "empty file", Code::malformed, [](Model& m) { std::filesystem::resize_file(m.path, 0); });
  for (int64_t cut : {1, 4, 128, 4096})
    lie(table, "cut by " + std::to_string(cut), Code::malformed,
        [cut](Model& m) { std::filesystem::resize_file(m.path, static_cast<uintmax_t>(m.bytes - cut)); });
  for (int64_t offset : {int64_t{-1}, kHuge, INT64_MAX, INT64_MIN})
    lie(table, "offset " + std::to_string(offset), Code::malformed,
        [offset](Model& m) { m.tensors[4].offset = offset; });
  for (int64_t size : {int64_t{0}, int64_t{-5}, kHuge, INT64_MAX}) {
    lie(table, "rows " + std::to_string(size), Code::malformed, [size](Model& m) { m.tensors[4].rows = size; });
    lie(table, "cols " + std::to_string(size), Code::malformed, [size](Model& m) { m.tensors[4].cols = size; });
    lie(table, "vocabulary " + std::to_string(size), Code::malformed, [size](Model& m) { m.shape.vocabulary = size; });
    lie(table, "layers " + std::to_string(size), Code::malformed, [size](Model& m) { m.shape.layers = size; });
  }
  lie(table, "file 1 of 1", Code::malformed, [](Model& m) { m.tensors[0].file = 1; });
  lie(table, "file -1", Code::malformed, [](Model& m) { m.tensors[0].file = -1; });
  lie(table, "a type with larger blocks", Code::malformed, [](Model& m) { m.tensors[0].type = Type::q6_k; });
  lie(table, "heads that do not divide", Code::malformed, [](Model& m) { m.tensors[4].interleaved_heads = 5; });
  lie(table, "twice", Code::malformed, [](Model& m) { m.tensors.push_back(m.tensors[0]); });
  lie(table, "missing", Code::malformed, [](Model& m) { m.tensors.pop_back(); });
  lie(table, "transposed where it is not", Code::malformed, [](Model& m) { m.tensors[10].transposed = true; });
  lie(table, "three heads for two", Code::malformed, [](Model& m) { m.shape.heads = 3; });
  lie(table, "frequency NaN", Code::malformed, [](Model& m) { m.shape.inverse_frequencies[1] = 0.0 / 0.0; });
  lie(table, "no frequencies", Code::malformed, [](Model& m) { m.shape.inverse_frequencies.clear(); });
}

}  // namespace oneround::test
