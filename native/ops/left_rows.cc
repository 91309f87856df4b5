#include "ops/left_rows.h"

namespace oneround {

namespace {

// Depths of quantised weights are converted 32 at a time.
constexpr int64_t kDepthStep = 32;

// How many of some rows to pack at once: parts of even size, since all of b is packed again for each.
int64_t even_part(const Kernels& kernels, int64_t rows) {
  const int64_t parts = (rows + kGroupRows - 1) / kGroupRows, even = (rows + parts - 1) / parts;
  return (even + kernels.tile_rows - 1) / kernels.tile_rows * kernels.tile_rows;
}

// Panels that some rows are divided into, `shares` at least and as even as they can be: a tile with few rows is as slow
// as one with many where it waits for its columns, and a share with one panel more is what the others wait for.
struct Division {
  int64_t panels;
  int64_t padded;  // rows of all panels: those of a panel lower than any tile count as a tile's
};
Division divide_rows(const Kernels& kernels, int64_t rows, int64_t shares) {
  const int64_t least = (rows + kernels.tile_rows - 1) / kernels.tile_rows;
  const int64_t panels = (least + shares - 1) / shares * shares;
  return {panels, std::max(rows, panels * kernels.short_rows)};
}

// Rows of one group as panels, as many as still fit `most`; returns how many.
int64_t add_panels(CpuContext& context, Part& part, int64_t most, int64_t first, int64_t rows, int group,
                   int64_t shares) {
  const Kernels& kernels = context.kernels;
  const int64_t room = most - part.padded;
  Division d = divide_rows(kernels, rows, shares);
  if (d.padded > room) {
    rows = room / kernels.tile_rows * kernels.tile_rows;
    d = divide_rows(kernels, rows, shares);
  }
  for (int64_t panel = 0; panel < d.panels; panel++) {
    const int64_t at = rows * panel / d.panels;
    const int count = static_cast<int>(rows * (panel + 1) / d.panels - at);
    const int height = std::max(kernels.short_rows, count);
    context.row_panels.push_back({first + at, part.padded, height, count, group});
    part.padded += height;
  }
  part.rows += rows;
  return rows;
}

void add_blocks(std::vector<PackedBlock>& blocks, int index, const Left& left, int64_t start, int64_t depth) {
  const int64_t most = left.bf16 ? 2 * kPairs : kDepth;
  const int64_t parts = (depth + most - 1) / most;
  if (parts == 0) return;
  const int64_t even = ((depth + parts - 1) / parts + kDepthStep - 1) / kDepthStep * kDepthStep;
  for (int64_t at = 0; at < depth; at += even) blocks.push_back({index, start + at, std::min(even, depth - at), 0});
}

}  // namespace

int64_t row_parts(const CpuContext& context, int64_t rows) {
  constexpr int64_t kFewestRows = 96;
  const int64_t threads = context.pool.threads();
  int64_t most = 1;
  for (int64_t parts = 2; parts <= threads && rows >= parts * kFewestRows; parts++)
    if (threads % parts == 0) most = parts;
  return most;
}

Part rows_from(CpuContext& context, int64_t m, int64_t first, std::span<const Left> lefts, RowGroups groups) {
  Part part{lefts, first};
  const RowGroup all{0, m};
  const int64_t most = groups.count == 1 ? even_part(context.kernels, m - first) : kGroupRows;
  const int64_t shares = groups.count == 1 ? row_parts(context, std::min(most, m - first)) : 1;
  context.row_panels.clear();
  for (int64_t g = 0; g < groups.count; g++) {
    const RowGroup& group = groups.data == nullptr ? all : groups.data[g];
    const int64_t end = group.first + group.count, from = std::max(first, group.first);
    if (end > from && add_panels(context, part, most, from, end - from, static_cast<int>(g), shares) < end - from)
      break;
  }
  return part;
}

void list_blocks(CpuContext& context, std::span<const Left> lefts) {
  context.blocks.clear();
  for (size_t i = 0; i < lefts.size(); i++) {
    const Left& left = lefts[i];
    if (left.segments.data == nullptr) {
      add_blocks(context.blocks, static_cast<int>(i), left, 0, left.depth);
      continue;
    }
    for (int64_t s = 0; s < left.segments.count; s++)
      add_blocks(context.blocks, static_cast<int>(i), left, left.segments.data[s].first, left.segments.data[s].count);
  }
}

size_t place_group(CpuContext& context, std::span<const Left> lefts, size_t first) {
  int64_t units = 0;
  size_t end = first;
  for (; end < context.blocks.size(); end++) {
    PackedBlock& block = context.blocks[end];
    const int64_t more = units_of(lefts[static_cast<size_t>(block.left)], block.count);
    if (end > first && units + more > kGroupDepth) break;
    block.units_before = units;
    units += more;
  }
  return end;
}

void pack_lefts(CpuContext& context, const Part& part) {
  const Kernels& kernels = context.kernels;
  context.pool.for_each(static_cast<int64_t>(context.row_panels.size()), [&](int64_t index, int) {
    const RowPanel& panel = context.row_panels[static_cast<size_t>(index)];
    for (size_t b = part.first_block; b < part.end_block; b++) {
      const PackedBlock& block = context.blocks[b];
      const Left& left = part.lefts[static_cast<size_t>(block.left)];
      const float* from = left.a + panel.first * left.row_step + block.first * left.k_step;
      float* to = context.packed_a + block.units_before * part.padded + panel.packed * units_of(left, block.count);
      if (left.bf16)
        kernels.bf16_pack_left(from, left.row_step, left.k_step, panel.rows, panel.height, block.count,
                               reinterpret_cast<uint32_t*>(to));
      else
        kernels.pack_a(from, left.row_step, left.k_step, panel.rows, panel.height, block.count, to);
    }
  });
}

}  // namespace oneround
