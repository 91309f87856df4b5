#include "ops/output_chunk.h"

#include "ops/rows_ahead.h"

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

// Where a block of b goes: panels of `width` columns that are `stride` apart.
struct Packing {
  int64_t first_column, columns;
  int64_t width;
  float* to;
  int64_t stride;
};

// Row j of the source is column j of b.
void pack_columns(const CpuContext& context, const WorkerScratch& scratch, bool bf16, const RowSource& b,
                  const PackedBlock& block, const Packing& p) {
  const Kernels& kernels = context.kernels;
  const int width = static_cast<int>(p.width);
  const uint8_t* rows[kMaxWidth];
  for (int64_t j = 0; j < p.columns; j += width) {
    const int n = static_cast<int>(std::min<int64_t>(width, p.columns - j));
    float* out = p.to + j / width * p.stride;
    for (int at = 0; at < n; at++) rows[at] = b.row(p.first_column + j + at);
    if (bf16)
      kernels.bf16_pack_rows_as_columns(b.type, rows, n, block.first, block.count, width,
                                        reinterpret_cast<uint32_t*>(out));
    else
      kernels.pack_rows_as_columns(b.type, rows, n, block.first, block.count, width, out, scratch.converted);
  }
}

// Asks for bytes [first, end) of rows; nothing is read.
void ask_for_rows(const RowSource& b, int64_t row, int64_t rows, int64_t first, int64_t end) {
  constexpr int64_t kLine = 64;
  for (int64_t r = row; r < row + rows; r++)
    for (int64_t at = first; at < end; at += kLine) __builtin_prefetch(b.row(r) + at);
}

// Row k of the source is row k of b. A few rows at a time, so that all panels take theirs while these are at hand.
void pack_rows(const CpuContext& context, bool bf16, const RowSource& b, const PackedBlock& block, const Packing& p) {
  constexpr int64_t kRows = 32;
  const Kernels& kernels = context.kernels;
  const int width = static_cast<int>(p.width);
  const uint8_t* rows[kRows];
  for (int64_t k = 0; k < block.count; k += kRows) {
    const int64_t count = std::min(kRows, block.count - k);
    for (int64_t at = 0; at < count; at++) rows[at] = b.row(block.first + k + at);
    const Type type = static_cast<Type>(b.type);
    ask_for_rows(b, block.first + k + count, std::min(kRows, block.count - k - count), row_bytes(type, p.first_column),
                 row_bytes(type, p.first_column + p.columns));
    if (!bf16) {
      kernels.pack_rows(b.type, rows, count, p.first_column, static_cast<int>(p.columns), width, p.to + k * width,
                        p.stride);
      continue;
    }
    for (int64_t j = 0; j < p.columns; j += width) {
      const int n = static_cast<int>(std::min<int64_t>(width, p.columns - j));
      float* out = p.to + j / width * p.stride + k / 2 * width;
      kernels.bf16_pack_rows(b.type, rows, count, p.first_column + j, n, width, reinterpret_cast<uint32_t*>(out));
    }
  }
}

// What tiles of one chain have in common.
struct Tiles {
  decltype(Kernels::packed_tile) run;
  int links;
  int vectors;
  float scale;
  bool accumulate;
  int64_t units[kMostLinks];   // of each link
  const float* a[kMostLinks];  // its packed rows
  const float* b[kMostLinks];  // its columns in the chunk's first panel
  int64_t b_panel;             // from one panel of b to the next
};

// c[j,i] (+)= the tile
void run_turned(const Tiles& tiles, const TilePart* parts, const RowPanel& panel, int n, float* c, int64_t c_stride,
                Lines asked) {
  constexpr int kMostRows = 16;
  float sums[kMostRows * kMaxWidth];
  tiles.run(tiles.links, parts, panel.height, tiles.vectors, sums, kMaxWidth, panel.rows, n, tiles.scale, false, asked);
  for (int j = 0; j < n; j++)
    for (int i = 0; i < panel.rows; i++) {
      float& to = c[j * c_stride + i];
      to = tiles.accumulate ? to + sums[i * kMaxWidth + j] : sums[i * kMaxWidth + j];
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
    const auto& [block, right, before] = chain.links[l];
    if ((right->each != nullptr) != of_group) continue;
    const bool bf16 = chunk.part.lefts[static_cast<size_t>(block->left)].bf16;
    const RowSource& b = of_group ? right->each[group] : right->b;
    const Packing packing{chunk.first, chunk.count, chunk.width, chunk.scratch.b + before * chunk.width,
                          chain.units * chunk.width};
    if (b.rows_are_columns)
      pack_columns(context, chunk.scratch, bf16, b, *block, packing);
    else
      pack_rows(context, bf16, b, *block, packing);
  }
}

// What packing the chain for some columns will read of operands that no cache of a core keeps from chunk to chunk.
void ask_for_chain(const Part& part, const Chain& chain, const Columns& columns, RowsAhead& ahead) {
  constexpr int64_t kKept = 1 << 20;
  const auto& [output, first, count] = columns;
  for (int l = 0; l < chain.count; l++) {
    const auto& [block, right, before] = chain.links[l];
    const RowSource& b = right->b;
    const int64_t rows = b.rows_are_columns ? output->n : part.lefts[static_cast<size_t>(right->left)].depth;
    if (right->each != nullptr || rows * b.row_bytes <= kKept) continue;
    const Type type = static_cast<Type>(b.type);
    if (b.rows_are_columns)
      ahead.add(b, first, count, row_bytes(type, block->first), row_bytes(type, block->first + block->count));
    else
      ahead.add(b, block->first, block->count, row_bytes(type, first), row_bytes(type, first + count));
  }
}

Tiles tiles_of(const CpuContext& context, const Chunk& chunk, const Chain& chain, bool accumulate) {
  const bool bf16 = chunk.part.lefts[static_cast<size_t>(chain.links[0].block->left)].bf16;
  Tiles tiles;
  tiles.run = bf16 ? context.kernels.bf16_tile : context.kernels.packed_tile;
  tiles.links = chain.count;
  tiles.vectors = chunk.vectors;
  tiles.scale = chain.links[0].right->scale;
  tiles.accumulate = accumulate;
  tiles.b_panel = chain.units * chunk.width;
  for (int l = 0; l < chain.count; l++) {
    const auto& [block, right, before] = chain.links[l];
    tiles.units[l] = units_of(chunk.part.lefts[static_cast<size_t>(block->left)], block->count);
    tiles.a[l] = context.packed_a + block->units_before * chunk.part.padded;
    tiles.b[l] = chunk.scratch.b + before * chunk.width;
  }
  return tiles;
}

// Row panel x column panel p of the chunk.
void multiply_tile(const Chunk& chunk, const Tiles& tiles, const RowPanel& panel, int64_t p, Lines asked) {
  const Output& output = chunk.output;
  TilePart parts[kMostLinks];
  for (int l = 0; l < tiles.links; l++)
    parts[l] = {tiles.units[l], tiles.a[l] + panel.packed * tiles.units[l], tiles.b[l] + p * tiles.b_panel};
  const int n = static_cast<int>(std::min(chunk.width, chunk.count - p * chunk.width));
  const int64_t column = chunk.first + p * chunk.width, row = panel.first, stride = output.c_stride;
  if (output.c_transposed)
    run_turned(tiles, parts, panel, n, output.c + column * stride + row, stride, asked);
  else
    tiles.run(tiles.links, parts, panel.height, tiles.vectors, output.c + row * stride + column, stride, panel.rows, n,
              tiles.scale, tiles.accumulate, asked);
}

// Packed rows of a chain and what is asked for meanwhile, of which a second-level cache of 1 MiB keeps both.
constexpr int64_t kStaysNear = 700 << 10;

void multiply_chain(const CpuContext& context, const Chunk& chunk, const Chain& chain, bool accumulate,
                    RowsAhead& ahead) {
  const bool grouped =
      std::any_of(chain.links, chain.links + chain.count, [](const Link& link) { return link.right->each != nullptr; });
  pack_chain(context, chunk, chain, 0, false);
  const Tiles tiles = tiles_of(context, chunk, chain, accumulate);
  const RowPanel* panels = context.row_panels.data();
  const int64_t column_panels = (chunk.count + chunk.width - 1) / chunk.width;
  const RowPanel &first_rows = panels[chunk.first_panel], &last_rows = panels[chunk.end_panel - 1];
  const int64_t padded = last_rows.packed + last_rows.height - first_rows.packed;
  if (padded * chain.units * 4 + ahead.bytes() <= kStaysNear)
    ahead.divide((chunk.end_panel - chunk.first_panel) * column_panels);
  const auto tile = [&](int64_t panel, int64_t p) { multiply_tile(chunk, tiles, panels[panel], p, ahead.next()); };
  for (int64_t from = chunk.first_panel, until; from < chunk.end_panel; from = until) {
    const int group = context.row_panels[static_cast<size_t>(from)].group;
    until = grouped ? from + 1 : chunk.end_panel;
    while (until < chunk.end_panel && context.row_panels[static_cast<size_t>(until)].group == group) until++;
    if (grouped) pack_chain(context, chunk, chain, group, true);
    // The operand that fits the first-level cache stays; the other streams from the second.
    if (chunk.width > 16) {
      for (int64_t panel = from; panel < until; panel++)
        for (int64_t p = 0; p < column_panels; p++) tile(panel, p);
    } else {
      for (int64_t p = 0; p < column_panels; p++)
        for (int64_t panel = from; panel < until; panel++) tile(panel, p);
    }
  }
}

}  // namespace

void multiply_chunk(const CpuContext& context, const WorkerScratch& scratch, const Part& part, int64_t first_panel,
                    int64_t end_panel, const Columns& mine, const Columns& next) {
  const Output& output = *mine.output;
  const int vectors = output.n <= context.kernels.vector_width ? 1 : 2;
  const Chunk chunk{scratch,     part,      output,
                    first_panel, end_panel, mine.first,
                    mine.count,  vectors,   vectors * context.kernels.vector_width};
  bool accumulate = output.accumulate;
  for (size_t b = 0; b < part.first_block; b++) accumulate = accumulate || right_of(output, context.blocks[b]);
  size_t block = part.first_block, next_block = part.first_block;
  Chain chain = next_chain(context, part, output, &block);
  while (chain.count > 0) {
    const Chain following = next_chain(context, part, output, &block);
    RowsAhead ahead;
    if (following.count > 0)
      ask_for_chain(part, following, mine, ahead);
    else if (next.output != nullptr)
      ask_for_chain(part, next_chain(context, part, *next.output, &next_block), next, ahead);
    multiply_chain(context, chunk, chain, accumulate, ahead);
    accumulate = true;
    chain = following;
  }
}

}  // namespace oneround
