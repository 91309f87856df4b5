// Blocked products after Goto and van de Geijn (ACM TOMS 34, 2008): rows of a are packed once for all columns, columns
// of b are converted and packed in chunks that stay in a core's cache, and a register tile does the arithmetic.
#include "ops/matmul.h"

#include "ops/output_chunk.h"

namespace oneround {

namespace {

// How an output is divided among tasks: row_parts x chunks of columns.
struct Division {
  int64_t panels, chunks, row_parts;
};

// A core that keeps its rows finds its panels and its part of c in its own cache, and packs all of b itself; where b
// has many more columns than the rows that use it, packing it once is cheaper.
constexpr int64_t kFewestRows = 96;
constexpr int64_t kWideForRows = 8;

int64_t row_parts_of(const CpuContext& context, const Part& part, const Output& output) {
  const int64_t threads = context.pool.threads();
  if (output.n > kWideForRows * part.rows) return 1;
  int64_t parts = 1;
  for (int64_t p = 2; p <= threads; p++)
    if (threads % p == 0 && part.rows >= p * kFewestRows) parts = p;
  return parts;
}

Division divide(const CpuContext& context, const Part& part, const Output& output) {
  const int64_t threads = context.pool.threads(), panels = context.panels(output.n);
  const int64_t row_panels = static_cast<int64_t>(context.row_panels.size());
  const int64_t row_parts = row_parts_of(context, part, output), others = threads / row_parts;
  int64_t chunks = (panels + kChunkPanels - 1) / kChunkPanels;
  chunks = std::min(panels, (chunks + others - 1) / others * others);
  return {panels, chunks, chunks >= others ? row_parts : std::min(row_panels, threads)};
}

void run_outputs(CpuContext& context, const Part& part, std::span<const Output> outputs) {
  int64_t tasks = 0;
  for (const Output& output : outputs) {
    const Division d = divide(context, part, output);
    tasks += d.chunks * d.row_parts;
  }
  context.pool.for_each(tasks, [&](int64_t task, int worker) {
    for (const Output& output : outputs) {
      const Division d = divide(context, part, output);
      if (task >= d.chunks * d.row_parts) {
        task -= d.chunks * d.row_parts;
        continue;
      }
      const int64_t share = task / d.chunks, chunk = task % d.chunks;
      const int64_t rows = static_cast<int64_t>(context.row_panels.size());
      const int64_t first = d.panels * chunk / d.chunks * context.width();
      const int64_t end = std::min(output.n, d.panels * (chunk + 1) / d.chunks * context.width());
      return multiply_chunk(context, context.scratch[static_cast<size_t>(worker)], part, output,
                            rows * share / d.row_parts, rows * (share + 1) / d.row_parts, first, end - first);
    }
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
