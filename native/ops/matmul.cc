// Blocked products after Goto and van de Geijn (ACM TOMS 34, 2008): rows of a are packed once for all columns, columns
// of b are converted and packed in chunks that stay in a core's cache, and a register tile does the arithmetic.
#include "ops/matmul.h"

#include "ops/output_chunk.h"

namespace oneround {

namespace {

// A core that keeps its rows finds its panels and its part of c in its own cache, but reads and packs all of b itself.
// Where one depth of b has more bytes than these for each row of a, it is cheaper to read b once.
constexpr int64_t kBytesForRow = 12;

int64_t bytes_of_depth(const Part& part, const Output& output) {
  int64_t most = 0;
  for (int r = 0; r < output.right_count; r++) {
    const auto& [left, b, scale, each] = output.rights[r];
    const int64_t depth = std::max<int64_t>(1, part.lefts[static_cast<size_t>(left)].depth);
    most = std::max(most, b.rows_are_columns ? output.n * b.row_bytes / depth : b.row_bytes);
  }
  return most;
}

// How outputs are divided among tasks: row_parts, and for each of them chunks of every output's columns.
struct Division {
  int64_t row_parts = 1;
  int64_t columns_at_once = 1;  // threads that share a part's rows

  int64_t chunks(int64_t panels) const {
    const int64_t least = (panels + kChunkPanels - 1) / kChunkPanels;
    return std::min(panels, (least + columns_at_once - 1) / columns_at_once * columns_at_once);
  }
};

Division divide(const CpuContext& context, const Part& part, std::span<const Output> outputs) {
  const int64_t threads = context.pool.threads();
  int64_t bytes = 0;
  for (const Output& output : outputs) bytes += bytes_of_depth(part, output);
  Division d;
  if (bytes <= kBytesForRow * part.rows) d.row_parts = row_parts(context, part.rows);
  d.columns_at_once = threads / d.row_parts;
  int64_t chunks = 0;
  for (const Output& output : outputs) chunks += d.chunks(context.panels(output.n));
  if (chunks < d.columns_at_once) d.row_parts = std::min(static_cast<int64_t>(context.row_panels.size()), threads);
  return d;
}

// Chunk `chunk` of all outputs' chunks, one output after another.
Columns chunk_of(const CpuContext& context, const Division& d, std::span<const Output> outputs, int64_t chunk) {
  for (const Output& output : outputs) {
    const int64_t panels = context.panels(output.n), of_output = d.chunks(panels);
    if (chunk >= of_output) {
      chunk -= of_output;
      continue;
    }
    const int64_t first = panels * chunk / of_output * context.width();
    const int64_t end = std::min(output.n, panels * (chunk + 1) / of_output * context.width());
    return {&output, first, end - first};
  }
  return {};
}

void run_outputs(CpuContext& context, const Part& part, std::span<const Output> outputs) {
  if (outputs.empty()) return;
  const Division d = divide(context, part, outputs);
  int64_t chunks = 0;
  for (const Output& output : outputs) chunks += d.chunks(context.panels(output.n));
  const int64_t tasks = d.row_parts * chunks, rows = static_cast<int64_t>(context.row_panels.size());
  context.pool.for_each(tasks, [&](int64_t task, int worker) {
    const int64_t share = task / chunks;
    const bool goes_on = task + 1 < context.pool.share_end(tasks, worker);
    multiply_chunk(context, context.scratch[static_cast<size_t>(worker)], part, rows * share / d.row_parts,
                   rows * (share + 1) / d.row_parts, chunk_of(context, d, outputs, task % chunks),
                   goes_on ? chunk_of(context, d, outputs, (task + 1) % chunks) : Columns{});
  });
}

void multiply_rows(CpuContext& context, Part part, std::span<const Output> outputs) {
  list_blocks(context, part.lefts);
  while (part.end_block < context.blocks.size()) {
    part.first_block = part.end_block;
    part.end_block = place_group(context, part.lefts, part.first_block);
    pack_lefts(context, part);
    run_outputs(context, part, outputs);
  }
}

}  // namespace

void multiply(CpuContext& context, int64_t m, std::span<const Left> lefts, std::span<const Output> outputs) {
  for (int64_t first = 0; first < m;) {
    const Part part = rows_from(context, m, first, lefts, {});
    multiply_rows(context, part, outputs);
    first += part.rows;
  }
}

void multiply_through(CpuContext& context, int64_t m, std::span<const Left> lefts, size_t ready,
                      std::span<const Output> inner, std::span<const Output> outer, RowGroups groups) {
  for (int64_t first = 0; first < m;) {
    Part part = rows_from(context, m, first, lefts, groups);
    first += part.rows;
    list_blocks(context, lefts);
    if (place_group(context, lefts, 0) < context.blocks.size()) {
      // Too deep to be packed at once: the ready operands are packed twice.
      Part ready_part = part;
      ready_part.lefts = lefts.first(ready);
      multiply_rows(context, ready_part, inner);
      multiply_rows(context, part, outer);
      continue;
    }
    while (part.end_block < context.blocks.size() && context.blocks[part.end_block].left < static_cast<int>(ready))
      part.end_block++;
    pack_lefts(context, part);
    run_outputs(context, part, inner);
    part.first_block = part.end_block;
    part.end_block = context.blocks.size();
    pack_lefts(context, part);
    part.first_block = 0;
    run_outputs(context, part, outer);
  }
}

}  // namespace oneround
