#include "ops/output_chunk.h"

namespace oneround {

namespace {

constexpr int kMaxWidth = 32;

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

}  // namespace

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

}  // namespace oneround
