// Blocked products after Goto and van de Geijn (ACM TOMS 34, 2008): rows of a are packed once for all columns, columns
// of b are converted and packed in chunks that stay in a core's cache, and a register tile does the arithmetic.
#include "ops/matmul.h"

namespace oneround {

namespace {

constexpr int kMaxWidth = 32;

// A group of consecutive depth blocks whose rows of a are packed together.
struct Group {
  const DepthBlock* blocks;
  int64_t count;
  int64_t depth;
};

Group next_group(const std::vector<DepthBlock>& blocks, size_t first) {
  Group group{&blocks[first], 0, 0};
  while (first + static_cast<size_t>(group.count) < blocks.size()) {
    const int64_t more = blocks[first + static_cast<size_t>(group.count)].count;
    if (group.count > 0 && group.depth + more > kGroupDepth) break;
    group.depth += more;
    group.count++;
  }
  return group;
}

// Columns too few to pay for packing a: each worker takes a share of the rows and reads a where it lies.
void multiply_thin(CpuContext& context, const Product& p, const std::vector<DepthBlock>& blocks) {
  const Kernels& kernels = context.kernels;
  const int vectors = p.n <= kernels.vector_width ? 1 : 2;
  const int width = vectors * kernels.vector_width;
  const int64_t panels = (p.m + kernels.tile_rows - 1) / kernels.tile_rows;
  const int64_t parts = std::min<int64_t>(panels, context.pool.threads());
  context.pool.for_each(parts, [&](int64_t part, int worker) {
    const WorkerScratch& scratch = context.scratch[static_cast<size_t>(worker)];
    const int64_t first_row = panels * part / parts * kernels.tile_rows;
    const int64_t end_row = std::min(p.m, panels * (part + 1) / parts * kernels.tile_rows);
    bool accumulate = p.accumulate;
    for (const DepthBlock& block : blocks) {
      const uint8_t* rows[kDepth];
      const int64_t row_count = p.b.rows_are_columns ? p.n : block.count;
      for (int64_t r = 0; r < row_count; r++) rows[r] = p.b.row(p.b.rows_are_columns ? r : block.first + r);
      if (p.b.rows_are_columns)
        kernels.pack_rows_as_columns(p.b.type, rows, static_cast<int>(p.n), block.first, block.count, width, scratch.b,
                                     scratch.converted);
      else
        kernels.pack_rows(p.b.type, rows, block.count, 0, static_cast<int>(p.n), width, scratch.b);
      for (int64_t i = first_row; i < end_row; i += kernels.tile_rows) {
        const int m = static_cast<int>(std::min<int64_t>(kernels.tile_rows, end_row - i));
        const float* a = p.a + i * p.a_row_step + block.first * p.a_k_step;
        int64_t row_step = p.a_row_step, k_step = p.a_k_step;
        if (m < kernels.tile_rows) {
          kernels.pack_a(a, row_step, k_step, m, block.count, scratch.a_edge);
          a = scratch.a_edge;
          row_step = 1;
          k_step = kernels.tile_rows;
        }
        kernels.tile(block.count, a, row_step, k_step, scratch.b, vectors, p.c + i * p.c_stride, p.c_stride, m,
                     static_cast<int>(p.n), p.scale, accumulate);
      }
      accumulate = true;
    }
  });
}

void pack_group(CpuContext& context, const Product& p, const Group& group, int64_t first_row, int64_t rows) {
  const Kernels& kernels = context.kernels;
  const int64_t panels = (rows + kernels.tile_rows - 1) / kernels.tile_rows, padded = panels * kernels.tile_rows;
  context.pool.for_each(panels, [&](int64_t panel, int) {
    const int64_t i = panel * kernels.tile_rows;
    const int m = static_cast<int>(std::min<int64_t>(kernels.tile_rows, rows - i));
    int64_t depth_before = 0;
    for (int64_t b = 0; b < group.count; b++) {
      const DepthBlock& block = group.blocks[b];
      kernels.pack_a(p.a + (first_row + i) * p.a_row_step + block.first * p.a_k_step, p.a_row_step, p.a_k_step, m,
                     block.count, context.packed_a + depth_before * padded + i * block.count);
      depth_before += block.count;
    }
  });
}

// One chunk of columns against rows [first_panel, end_panel) of the packed group.
void multiply_chunk(CpuContext& context, const WorkerScratch& scratch, const Product& p, const Group& group,
                    int64_t first_row, int64_t rows, int64_t first_panel, int64_t end_panel, int64_t first_column,
                    int64_t columns, bool accumulate) {
  const Kernels& kernels = context.kernels;
  const int64_t width = context.width();
  const int64_t padded = (rows + kernels.tile_rows - 1) / kernels.tile_rows * kernels.tile_rows;
  int64_t depth_before = 0;
  for (int64_t b = 0; b < group.count; b++) {
    const DepthBlock& block = group.blocks[b];
    pack_panels(context, scratch, p.b, block.first, block.count, first_column, columns, scratch.b);
    const float* packed = context.packed_a + depth_before * padded;
    const auto one_tile = [&](int64_t panel, int64_t j) {
      const int64_t i = panel * kernels.tile_rows;
      const int m = static_cast<int>(std::min<int64_t>(kernels.tile_rows, rows - i));
      kernels.tile(block.count, packed + i * block.count, 1, kernels.tile_rows, scratch.b + j * block.count, 2,
                   p.c + (first_row + i) * p.c_stride + first_column + j, p.c_stride, m,
                   static_cast<int>(std::min(width, columns - j)), p.scale, accumulate || b > 0);
    };
    // The operand that fits the first-level cache stays; the other streams from the second.
    if (width > 16) {
      for (int64_t panel = first_panel; panel < end_panel; panel++)
        for (int64_t j = 0; j < columns; j += width) one_tile(panel, j);
    } else {
      for (int64_t j = 0; j < columns; j += width)
        for (int64_t panel = first_panel; panel < end_panel; panel++) one_tile(panel, j);
    }
    depth_before += block.count;
  }
}

}  // namespace

RowSource columns_of(const Weight& w) {
  return {static_cast<const uint8_t*>(w.data), static_cast<int>(w.type), row_bytes(w.type, w.cols),
          w.interleaved_heads == 0 ? nullptr : &w, true};
}
RowSource rows_of(const Weight& w) {
  RowSource source = columns_of(w);
  source.rows_are_columns = false;
  return source;
}
RowSource columns_of(const Matrix& m) {
  return {reinterpret_cast<const uint8_t*>(m.data), static_cast<int>(Type::f32), m.stride * 4, nullptr, true};
}
RowSource rows_of(const Matrix& m) {
  return {reinterpret_cast<const uint8_t*>(m.data), static_cast<int>(Type::f32), m.stride * 4, nullptr, false};
}

void pack_panels(const CpuContext& context, const WorkerScratch& scratch, const RowSource& b, int64_t first,
                 int64_t count, int64_t first_column, int64_t n, float* out) {
  const int64_t width = context.width();
  for (int64_t j = 0; j < n; j += width) {
    const int columns = static_cast<int>(std::min(width, n - j));
    float* panel = out + j * count;
    if (b.rows_are_columns) {
      const uint8_t* rows[kMaxWidth];
      for (int64_t at = 0; at < columns; at++) rows[at] = b.row(first_column + j + at);
      context.kernels.pack_rows_as_columns(b.type, rows, columns, first, count, static_cast<int>(width), panel,
                                           scratch.converted);
    } else {
      for (int64_t done = 0; done < count; done += kDepth) {
        const uint8_t* rows[kDepth];
        const int64_t part = std::min(kDepth, count - done);
        for (int64_t k = 0; k < part; k++) rows[k] = b.row(first + done + k);
        context.kernels.pack_rows(b.type, rows, part, first_column + j, columns, static_cast<int>(width),
                                  panel + done * width);
      }
    }
  }
}

void multiply_packed(const CpuContext& context, const WorkerScratch& scratch, int64_t m, int64_t n, int64_t count,
                     const float* a, int64_t a_row_step, int64_t a_k_step, const float* packed, int64_t packed_count,
                     float* c, int64_t c_stride, float scale, bool accumulate) {
  const Kernels& kernels = context.kernels;
  const int64_t width = context.width();
  for (int64_t i = 0; i < m; i += kernels.tile_rows) {
    const int rows = static_cast<int>(std::min<int64_t>(kernels.tile_rows, m - i));
    const float* panel = a + i * a_row_step;
    int64_t row_step = a_row_step, k_step = a_k_step;
    if (rows < kernels.tile_rows) {
      kernels.pack_a(panel, row_step, k_step, rows, count, scratch.a_edge);
      panel = scratch.a_edge;
      row_step = 1;
      k_step = kernels.tile_rows;
    }
    for (int64_t j = 0; j < n; j += width)
      kernels.tile(count, panel, row_step, k_step, packed + j * packed_count, 2, c + i * c_stride + j, c_stride, rows,
                   static_cast<int>(std::min(width, n - j)), scale, accumulate);
  }
}

void multiply(CpuContext& context, const Product& p, const std::vector<DepthBlock>& blocks) {
  if (p.m == 0 || p.n == 0 || blocks.empty()) return;
  if (p.n <= context.width()) return multiply_thin(context, p, blocks);
  const Kernels& kernels = context.kernels;
  const int64_t threads = context.pool.threads(), panels = context.panels(p.n);
  int64_t chunks = (panels + kChunkPanels - 1) / kChunkPanels;
  chunks = std::min(panels, (chunks + threads - 1) / threads * threads);
  for (int64_t first_row = 0; first_row < p.m; first_row += kGroupRows) {
    const int64_t rows = std::min(kGroupRows, p.m - first_row);
    const int64_t row_panels = (rows + kernels.tile_rows - 1) / kernels.tile_rows;
    const int64_t row_parts = chunks >= threads ? 1 : std::min(row_panels, threads);
    for (size_t next = 0; next < blocks.size();) {
      const Group group = next_group(blocks, next);
      pack_group(context, p, group, first_row, rows);
      const bool accumulate = p.accumulate || next > 0;
      context.pool.for_each(chunks * row_parts, [&](int64_t task, int worker) {
        const int64_t chunk = task / row_parts, part = task % row_parts;
        const int64_t first_column = panels * chunk / chunks * context.width();
        const int64_t end_column = std::min(p.n, panels * (chunk + 1) / chunks * context.width());
        multiply_chunk(context, context.scratch[static_cast<size_t>(worker)], p, group, first_row, rows,
                       row_panels * part / row_parts, row_panels * (part + 1) / row_parts, first_column,
                       end_column - first_column, accumulate);
      });
      next += static_cast<size_t>(group.count);
    }
  }
}

const std::vector<DepthBlock>& blocks_over(CpuContext& context, int64_t depth) {
  context.depth_blocks.clear();
  for (int64_t first = 0; first < depth; first += kDepth)
    context.depth_blocks.push_back({first, std::min(kDepth, depth - first)});
  return context.depth_blocks;
}

const std::vector<DepthBlock>& blocks_over(CpuContext& context, Segments segments) {
  context.depth_blocks.clear();
  for (int64_t s = 0; s < segments.count; s++) {
    const Segment& segment = segments.data[s];
    for (int64_t at = 0; at < segment.count; at += kDepth)
      context.depth_blocks.push_back({segment.first + at, std::min(kDepth, segment.count - at)});
  }
  return context.depth_blocks;
}

}  // namespace oneround
