// Scratch: a backend that reserved exactly the bounds of one call runs it, and gives the bits of one that reserved
// more. A write past the scratch is AddressSanitizer's to find (npm run test:sanitize). And no entry allocates: this
// file counts every operator new of the process.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <stdexcept>

#include "op_table.h"
#include "test_data.h"

namespace {

std::atomic<int64_t> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  allocations++;
  const std::size_t whole = (bytes + alignment - 1) / alignment * alignment;
  if (void* at = std::aligned_alloc(alignment, whole == 0 ? alignment : whole)) return at;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, std::max(alignof(std::max_align_t), static_cast<std::size_t>(alignment)));
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t) noexcept { std::free(at); }
void operator delete(void* at, std::align_val_t) noexcept { std::free(at); }
void operator delete(void* at, std::size_t, std::align_val_t) noexcept { std::free(at); }

namespace oneround::test {

namespace {

struct Bounds {
  int64_t rows, cols, longest;
  AttentionShape shape;
};

struct Outcome {
  Parts parts;
  int64_t allocations;  // by the entries alone
};

// The entries that use scratch, then all the others, on buffers that are there before.
Outcome everything(const Backend& b, const Bounds& bounds) {
  const auto [m, k, longest, shape] = bounds;
  Random random(static_cast<uint64_t>(m * 5 + k));
  std::vector<int64_t> lengths = {longest};
  while (rows_of(lengths) < m) lengths.push_back(std::min(longest, m - rows_of(lengths)));
  const auto list = segments_of(lengths);
  const Segments segments = view(list);
  const StoredWeight w(k % 32 == 0 ? Type::q4_1 : Type::bf16, k, k, random);
  Floats x = Floats::normal(m, k, random), d_y = Floats::normal(m, k, random), y(m, k), d_x(m, k), d_w(k, k);
  Floats weight = Floats::normal(1, k, random), inv_rms(m, 1), normed(m, k), again(m, k), d_weight(1, k);
  const int64_t qd = shape.heads * shape.head_dim, kd = shape.kv_heads * shape.head_dim;
  Floats q = Floats::normal(m, qd, random), keys = Floats::normal(m, kd, random), v = Floats::normal(m, kd, random);
  Floats attended(m, qd), log_sum(m, shape.heads), d_attended = Floats::normal(m, qd, random);
  Floats d_q(m, qd), d_k(m, kd), d_v(m, kd), cos(longest, shape.head_dim / 2), sin(longest, shape.head_dim / 2);
  Floats gated(m, k), d_gate(m, k), d_up(m, k), dropped(m, k), logits = Floats::normal(m, k, random), first(1, k),
                                                               second(1, k);
  const std::vector<int32_t> ids(static_cast<size_t>(m), 0);
  std::vector<double> losses(static_cast<size_t>(m) + 1);

  Floats factor = Floats::normal(3, k, random), part_y(m, k), part_u(m, 3), part_z(m, k);
  const LinearFactors factors[] = {{weight_of(factor.view()), Weight{factor.data(), Type::f32, k, 3}},
                                   {weight_of(factor.view()), Weight{factor.data(), Type::f32, k, 3}}};
  const LinearPart parts[] = {{w.view(), part_y.view(), factors, part_u.view(), 0.5f},
                              {w.view(), part_z.view(), nullptr, {}, 0}};
  const RowGroup both[] = {{0, m / 2}, {m / 2, m - m / 2}};
  const RowGroups groups{both, 2};
  const int64_t before = allocations;
  b.linear(b.self, x.view(), w.view(), y.view(), 1, false);
  b.linear_d_x(b.self, d_y.view(), w.view(), d_x.view(), 1, false);
  b.linear_d_w(b.self, d_y.view(), x.view(), d_w.view(), 1, segments);
  b.linear_parts(b.self, x.view(), parts, std::size(parts), groups);
  b.linear_parts_d_x(b.self, parts, std::size(parts), d_x.view(), true, groups);
  b.rms_norm(b.self, x.view(), weight.data(), 1e-5f, normed.view(), inv_rms.data());
  b.rms_norm_again(b.self, x.view(), weight.data(), inv_rms.data(), again.view());
  b.rms_norm_backward(b.self, x.view(), weight.data(), inv_rms.data(), d_y.view(), d_x.view(), d_weight.data(),
                      segments);
  b.attention(b.self, q.view(), keys.view(), v.view(), shape, attended.view(), log_sum.view(), segments);
  b.attention_backward(b.self, q.view(), keys.view(), v.view(), shape, attended.view(), log_sum.view(),
                       d_attended.view(), d_q.view(), d_k.view(), d_v.view(), segments);
  b.rope(b.self, d_q.view(), shape.heads, shape.head_dim, cos.data(), sin.data(), 1, segments);
  b.swiglu(b.self, x.view(), d_y.view(), gated.view());
  b.swiglu_backward(b.self, x.view(), d_y.view(), y.view(), d_gate.view(), d_up.view());
  b.dropout(b.self, x.view(), dropped.view(), {0.1f, 1, 2}, segments, true);
  b.copy(b.self, x.view(), gated.view());
  b.add(b.self, x.view(), dropped.view());
  b.embed(b.self, ids.data(), w.view(), gated.view());
  b.embed_backward(b.self, ids.data(), d_y.view(), d_w.view());
  b.gather_rows(b.self, x.view(), ids.data(), again.view());
  b.scatter_rows(b.self, x.view().slice_rows(0, 1), ids.data(), gated.view());
  b.cross_entropy(b.self, logits.view(), ids.data(), 0.5f, losses.data());
  losses.back() = b.squared_norm(b.self, x.data(), m * k);
  b.adamw(b.self, weight.data(), d_weight.data(), first.data(), second.data(), k, {1e-3, 0.9, 0.99, 1e-8, 0.1, 1, 1});
  b.fill_zero(b.self, cos.data(), longest * (shape.head_dim / 2));
  const int64_t during = allocations - before;

  return {{y.part("y"), d_x.part("d_x"), d_w.part("d_w"), normed.part("normed"), d_weight.part("d_weight"),
           attended.part("attended"), d_q.part("d_q"), d_k.part("d_k"), d_v.part("d_v"), gated.part("gated"),
           d_gate.part("d_gate"), d_up.part("d_up"), dropped.part("dropped"), logits.part("logits"),
           weight.part("weight"), Part{"losses", losses}},
          during};
}

}  // namespace

void scratch_rows(Table& table) {
  for (const Bounds& bounds : {Bounds{1, 33, 1, {1, 1, 2}},
                               {7, 64, 7, {2, 1, 8}},
                               {29, 65, 13, {4, 2, 12}},
                               {130, 257, 64, {9, 3, 24}},
                               {64, 576, 64, {9, 3, 64}},
                               {5, 1030, 5, {2, 1, 8}},
                               {1100, 40, 300, {2, 1, 16}}}) {
    for (int threads : {1, 3}) {
      const std::string shape = "rows=" + std::to_string(bounds.rows) + ",cols=" + std::to_string(bounds.cols) +
                                ",longest=" + std::to_string(bounds.longest) + ",threads=" + std::to_string(threads);
      const auto exact = [&] {
        const auto backend = table.make(threads);
        if (!backend || !backend->reserve(bounds.rows, bounds.cols, bounds.longest, bounds.shape)) {
          throw std::runtime_error("reserve refused");
        }
        return everything(backend->table(), bounds);
      };
      table.same_bits(
          "reserve.exact", shape, [&] { return everything(table.on(1), bounds).parts; }, [&] { return exact().parts; });
      table.row("entries.allocate", shape, 0, [&] { return static_cast<double>(exact().allocations); });
    }
  }
}

}  // namespace oneround::test
