// Blocked products after Goto and van de Geijn (ACM TOMS 34, 2008): rows of a are packed once for all columns, columns
// of b are converted and packed in chunks that stay in a core's cache, and a register tile does the arithmetic.
#include "ops/matmul.h"

namespace oneround {

namespace {

constexpr int kMaxWidth = 32;
// Depths of quantised weights are converted 32 at a time.
constexpr int64_t kDepthStep = 32;

int64_t units_of(const Left& left, int64_t count) { return left.bf16 ? (count + 1) / 2 : count; }

// Tile heights of some rows: tall panels, then short ones for what is left.
struct Heights {
  int64_t tall, short_;
};
Heights heights_of(const Kernels& kernels, int64_t rows) {
  const int64_t tall = rows / kernels.tile_rows, left = rows % kernels.tile_rows;
  if (rows > kernels.tile_rows && rows <= 2 * kernels.short_rows)
    return {0, (rows + kernels.short_rows - 1) / kernels.short_rows};
  if (left > kernels.short_rows) return {tall + 1, 0};
  return {tall, (left + kernels.short_rows - 1) / kernels.short_rows};
}

// Rows [first_row, first_row + rows) of all operands as the panels of context.row_panels, and which blocks of
// context.blocks are at hand.
struct Part {
  std::span<const Left> lefts;
  int64_t first_row = 0, rows = 0;
  int64_t padded = 0;  // rows of all panels
  size_t first_block = 0;
  size_t end_block = 0;
};

// How many of some rows to pack at once: parts of even size, since all of b is packed again for each.
int64_t even_part(const Kernels& kernels, int64_t rows) {
  const int64_t parts = (rows + kGroupRows - 1) / kGroupRows, even = (rows + parts - 1) / parts;
  return (even + kernels.tile_rows - 1) / kernels.tile_rows * kernels.tile_rows;
}

// Rows of one group as panels, as many as still fit `most`; returns how many.
int64_t add_panels(CpuContext& context, Part& part, int64_t most, int64_t first, int64_t rows, int group) {
  const Kernels& kernels = context.kernels;
  const auto padded = [&](const Heights& h) { return h.tall * kernels.tile_rows + h.short_ * kernels.short_rows; };
  const int64_t room = most - part.padded;
  Heights heights = heights_of(kernels, rows);
  if (padded(heights) > room) {
    rows = room / kernels.tile_rows * kernels.tile_rows;
    heights = heights_of(kernels, rows);
  }
  for (int64_t panel = 0, at = 0; panel < heights.tall + heights.short_; panel++) {
    const int height = panel < heights.tall ? kernels.tile_rows : kernels.short_rows;
    context.row_panels.push_back(
        {first + at, part.padded, height, static_cast<int>(std::min<int64_t>(height, rows - at)), group});
    part.padded += height;
    at += height;
  }
  part.rows += rows;
  return rows;
}

// The rows from `first` on that are packed together. A panel never holds rows of two groups.
Part rows_from(CpuContext& context, int64_t m, int64_t first, std::span<const Left> lefts, RowGroups groups) {
  Part part{lefts, first};
  const RowGroup all{0, m};
  const int64_t most = groups.count == 1 ? even_part(context.kernels, m - first) : kGroupRows;
  context.row_panels.clear();
  for (int64_t g = 0; g < groups.count; g++) {
    const RowGroup& group = groups.data == nullptr ? all : groups.data[g];
    const int64_t end = group.first + group.count, from = std::max(first, group.first);
    if (end > from && add_panels(context, part, most, from, end - from, static_cast<int>(g)) < end - from) break;
  }
  return part;
}

void add_blocks(std::vector<PackedBlock>& blocks, int index, const Left& left, int64_t start, int64_t depth) {
  const int64_t most = left.bf16 ? 2 * kPairs : kDepth;
  const int64_t parts = (depth + most - 1) / most;
  if (parts == 0) return;
  const int64_t even = ((depth + parts - 1) / parts + kDepthStep - 1) / kDepthStep * kDepthStep;
  for (int64_t at = 0; at < depth; at += even) blocks.push_back({index, start + at, std::min(even, depth - at), 0});
}

// Fills context.blocks; where each lies is counted from the start of its group.
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

// As many blocks from `first` as fit the packed rows; returns the end.
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

// Blocks that a tile goes through in one chain.
constexpr int kMostLinks = 8;
struct Link {
  const PackedBlock* block;
  const Right* right;
  int64_t before;  // units of the chain's links before it
};
struct Chain {
  int count = 0;
  int64_t units = 0;
  Link links[kMostLinks];
};

const Right* right_of(const Output& output, const PackedBlock& block) {
  for (int r = 0; r < output.right_count; r++)
    if (output.rights[r].left == block.left) return &output.rights[r];
  return nullptr;
}

// The next blocks of those at hand that the output takes, as many as one chain has room for. Only shapes decide. The
// sums of segments stay apart, whatever else is in the pass.
Chain next_chain(const CpuContext& context, const Part& part, const Output& output, size_t* next) {
  Chain chain;
  for (; *next < part.end_block && chain.count < kMostLinks; ++*next) {
    const PackedBlock& block = context.blocks[*next];
    const Right* right = right_of(output, block);
    if (right == nullptr) continue;
    const Left& left = part.lefts[static_cast<size_t>(block.left)];
    const int64_t units = units_of(left, block.count);
    const bool joins = left.bf16 && left.segments.data == nullptr && chain.units + units <= kPairs &&
                       (chain.count == 0 || right->scale == chain.links[0].right->scale);
    if (chain.count > 0 && !joins) break;
    chain.links[chain.count++] = {&block, right, chain.units};
    chain.units += units;
    if (!joins) {
      ++*next;
      break;
    }
  }
  return chain;
}

// Columns [first_column, first_column + columns) of one block of b, in panels of `width` that are `stride` apart.
void pack_right(const CpuContext& context, const WorkerScratch& scratch, const Left& left, const RowSource& b,
                const PackedBlock& block, int64_t first_column, int64_t columns, int64_t width, float* to,
                int64_t stride) {
  const Kernels& kernels = context.kernels;
  const uint8_t* rows[2 * kPairs];
  if (!b.rows_are_columns)
    for (int64_t k = 0; k < block.count; k++) rows[k] = b.row(block.first + k);
  for (int64_t j = 0; j < columns; j += width) {
    const int n = static_cast<int>(std::min(width, columns - j)), wide = static_cast<int>(width);
    float* out = to + j / width * stride;
    uint32_t* pairs = reinterpret_cast<uint32_t*>(out);
    if (b.rows_are_columns) {
      for (int at = 0; at < n; at++) rows[at] = b.row(first_column + j + at);
      if (left.bf16)
        kernels.bf16_pack_rows_as_columns(b.type, rows, n, block.first, block.count, wide, pairs);
      else
        kernels.pack_rows_as_columns(b.type, rows, n, block.first, block.count, wide, out, scratch.converted);
    } else if (left.bf16) {
      kernels.bf16_pack_rows(b.type, rows, block.count, first_column + j, n, wide, pairs);
    } else {
      kernels.pack_rows(b.type, rows, block.count, first_column + j, n, wide, out);
    }
  }
}

struct Tile {
  const Chain* chain;
  TilePart<float> parts[kMostLinks];
  int rows;
  int vectors;
  int m, n;
};

void run_tile(const Kernels& kernels, bool bf16, const Tile& t, float* c, int64_t c_stride, bool accumulate) {
  const float scale = t.chain->links[0].right->scale;
  if (!bf16) {
    const TilePart<float>& only = t.parts[0];
    kernels.tile(only.count, only.a, 1, t.rows, t.rows, only.b, t.vectors, c, c_stride, t.m, t.n, scale, accumulate);
    return;
  }
  TilePart<uint32_t> parts[kMostLinks];
  for (int l = 0; l < t.chain->count; l++)
    parts[l] = {t.parts[l].count, reinterpret_cast<const uint32_t*>(t.parts[l].a),
                reinterpret_cast<const uint32_t*>(t.parts[l].b)};
  kernels.bf16_tile(t.chain->count, parts, t.rows, t.vectors, c, c_stride, t.m, t.n, scale, accumulate);
}

// c[j,i] (+)= the tile
void run_turned(const Kernels& kernels, bool bf16, const Tile& t, float* c, int64_t c_stride, bool accumulate) {
  constexpr int kMostRows = 16;
  float sums[kMostRows * kMaxWidth];
  run_tile(kernels, bf16, t, sums, kMaxWidth, false);
  for (int j = 0; j < t.n; j++)
    for (int i = 0; i < t.m; i++) {
      float& to = c[j * c_stride + i];
      to = accumulate ? to + sums[i * kMaxWidth + j] : sums[i * kMaxWidth + j];
    }
}

// Columns [first, first + count) of an output against row panels [first_panel, end_panel).
struct Chunk {
  const WorkerScratch& scratch;
  const Part& part;
  const Output& output;
  int64_t first_panel, end_panel;
  int64_t first, count;
  int vectors;
  int64_t width;
};

void pack_chain(const CpuContext& context, const Chunk& chunk, const Chain& chain, int group, bool of_group) {
  for (int l = 0; l < chain.count; l++) {
    const Link& link = chain.links[l];
    if ((link.right->each != nullptr) != of_group) continue;
    pack_right(context, chunk.scratch, chunk.part.lefts[static_cast<size_t>(link.block->left)],
               of_group ? link.right->each[group] : link.right->b, *link.block, chunk.first, chunk.count, chunk.width,
               chunk.scratch.b + link.before * chunk.width, chain.units * chunk.width);
  }
}

void multiply_tile(const CpuContext& context, const Chunk& chunk, const Chain& chain, int64_t panel_index, int64_t j,
                   bool accumulate) {
  const RowPanel& panel = context.row_panels[static_cast<size_t>(panel_index)];
  const Output& output = chunk.output;
  const bool bf16 = chunk.part.lefts[static_cast<size_t>(chain.links[0].block->left)].bf16;
  Tile tile{&chain,        {},         panel.height,
            chunk.vectors, panel.rows, static_cast<int>(std::min(chunk.width, chunk.count - j))};
  for (int l = 0; l < chain.count; l++) {
    const auto& [block, right, before] = chain.links[l];
    const int64_t units = units_of(chunk.part.lefts[static_cast<size_t>(block->left)], block->count);
    tile.parts[l] = {units, context.packed_a + block->units_before * chunk.part.padded + panel.packed * units,
                     chunk.scratch.b + j * chain.units + before * chunk.width};
  }
  const int64_t column = chunk.first + j;
  if (output.c_transposed)
    run_turned(context.kernels, bf16, tile, output.c + column * output.c_stride + panel.first, output.c_stride,
               accumulate);
  else
    run_tile(context.kernels, bf16, tile, output.c + panel.first * output.c_stride + column, output.c_stride,
             accumulate);
}

void multiply_chain(const CpuContext& context, const Chunk& chunk, const Chain& chain, bool accumulate) {
  const bool grouped =
      std::any_of(chain.links, chain.links + chain.count, [](const Link& link) { return link.right->each != nullptr; });
  pack_chain(context, chunk, chain, 0, false);
  for (int64_t from = chunk.first_panel, until; from < chunk.end_panel; from = until) {
    const int group = context.row_panels[static_cast<size_t>(from)].group;
    until = grouped ? from + 1 : chunk.end_panel;
    while (until < chunk.end_panel && context.row_panels[static_cast<size_t>(until)].group == group) until++;
    if (grouped) pack_chain(context, chunk, chain, group, true);
    // The operand that fits the first-level cache stays; the other streams from the second.
    if (chunk.width > 16) {
      for (int64_t panel = from; panel < until; panel++)
        for (int64_t j = 0; j < chunk.count; j += chunk.width)
          multiply_tile(context, chunk, chain, panel, j, accumulate);
    } else {
      for (int64_t j = 0; j < chunk.count; j += chunk.width)
        for (int64_t panel = from; panel < until; panel++) multiply_tile(context, chunk, chain, panel, j, accumulate);
    }
  }
}

void multiply_chunk(const CpuContext& context, const WorkerScratch& scratch, const Part& part, const Output& output,
                    int64_t first_panel, int64_t end_panel, int64_t first_column, int64_t columns) {
  const int vectors = output.n <= context.kernels.vector_width ? 1 : 2;
  const Chunk chunk{scratch,     part,      output,
                    first_panel, end_panel, first_column,
                    columns,     vectors,   vectors * context.kernels.vector_width};
  bool accumulate = output.accumulate;
  for (size_t b = 0; b < part.first_block; b++) accumulate = accumulate || right_of(output, context.blocks[b]);
  for (size_t next = part.first_block; next < part.end_block;) {
    const Chain chain = next_chain(context, part, output, &next);
    if (chain.count == 0) break;
    multiply_chain(context, chunk, chain, accumulate);
    accumulate = true;
  }
}

// How an output is divided among tasks.
struct Division {
  int64_t panels, chunks, row_parts;
};

Division divide(const CpuContext& context, const Output& output) {
  const int64_t threads = context.pool.threads(), panels = context.panels(output.n);
  const int64_t row_panels = static_cast<int64_t>(context.row_panels.size());
  int64_t chunks = (panels + kChunkPanels - 1) / kChunkPanels;
  chunks = std::min(panels, (chunks + threads - 1) / threads * threads);
  return {panels, chunks, chunks >= threads ? 1 : std::min(row_panels, threads)};
}

void run_outputs(CpuContext& context, const Part& part, std::span<const Output> outputs) {
  int64_t tasks = 0;
  for (const Output& output : outputs) {
    const Division d = divide(context, output);
    tasks += d.chunks * d.row_parts;
  }
  context.pool.for_each(tasks, [&](int64_t task, int worker) {
    for (const Output& output : outputs) {
      const Division d = divide(context, output);
      if (task >= d.chunks * d.row_parts) {
        task -= d.chunks * d.row_parts;
        continue;
      }
      const int64_t chunk = task / d.row_parts, share = task % d.row_parts;
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
