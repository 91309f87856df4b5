#include <algorithm>

#include "ops/entries.h"
#include "ops/matmul.h"

namespace oneround::ops {

namespace {

// Up to this many columns of x (a small rank) the product is turned, so that the wide operand is read where it lies.
constexpr int64_t kThin = 64;

bool in_bf16(const CpuContext& context, const Weight& w) { return context.bf16 && !w.exact; }
bool all_in_bf16(const CpuContext& context, const LinearPart* parts, int64_t count) {
  return std::all_of(parts, parts + count, [&](const LinearPart& part) { return in_bf16(context, part.w); });
}
Left rows_of_left(const Matrix& x, bool bf16) { return {x.data, x.stride, 1, x.cols, {}, bf16}; }
RowSource forward_source(const Weight& w) { return w.transposed ? rows_of(w) : columns_of(w); }
RowSource backward_source(const Weight& w) { return w.transposed ? columns_of(w) : rows_of(w); }
Output to(const Matrix& c, bool accumulate, Right right) {
  return {c.cols, c.data, c.stride, accumulate, false, 1, {right}};
}

// A second operand that each group of rows has its own of; the sources lie in the context until the product ends.
template <class Source>
Right by_group(CpuContext& context, RowGroups groups, size_t left, float scale, const Source& source) {
  Right right{static_cast<int>(left), source(0), scale};
  if (groups.count == 1) return right;
  const size_t first = context.row_sources.size();
  for (int64_t g = 0; g < groups.count; g++) context.row_sources.push_back(source(g));
  right.each = context.row_sources.data() + first;
  return right;
}

}  // namespace

void linear(void* self, const Matrix& x, const Weight& w, const Matrix& y, float scale, bool accumulate) {
  CpuContext& context = cpu(self);
  const Left left = rows_of_left(x, in_bf16(context, w));
  const Output output = to(y, accumulate, {0, forward_source(w), scale});
  multiply(context, x.rows, {&left, 1}, {&output, 1});
}

void linear_d_x(void* self, const Matrix& d_y, const Weight& w, const Matrix& d_x, float scale, bool accumulate) {
  CpuContext& context = cpu(self);
  const Left left = rows_of_left(d_y, in_bf16(context, w));
  const Output output = to(d_x, accumulate, {0, backward_source(w), scale});
  multiply(context, d_y.rows, {&left, 1}, {&output, 1});
}

void linear_d_w(void* self, const Matrix& d_y, const Matrix& x, const Matrix& d_w, float scale, Segments segments) {
  CpuContext& context = cpu(self);
  const bool turned = x.cols < d_y.cols && x.cols <= kThin;
  const Matrix &rows = turned ? x : d_y, &columns = turned ? d_y : x;
  const Left left{rows.data, 1, rows.stride, 0, segments, context.bf16};
  const Output output{columns.cols, d_w.data, d_w.stride, true, turned, 1, {{0, rows_of(columns), scale}}};
  multiply(context, rows.cols, {&left, 1}, {&output, 1});
}

// Left operands: x, then each u_i. First u_i = scale_i x a_i', then y_i = x w_i' + u_i b_i'.
void linear_parts(void* self, const Matrix& x, const LinearPart* parts, int64_t count, RowGroups groups) {
  CpuContext& context = cpu(self);
  const bool bf16 = all_in_bf16(context, parts, count);
  Left lefts[kMostParts + 1] = {rows_of_left(x, bf16)};
  Output inner[kMostParts], outer[kMostParts];
  size_t left_count = 1, inner_count = 0;
  context.row_sources.clear();
  for (int64_t i = 0; i < count; i++) {
    const LinearPart& part = parts[i];
    Output& output = outer[i];
    output = to(part.y, false, {0, forward_source(part.w), 1.0f});
    if (part.u.data == nullptr) continue;
    inner[inner_count++] =
        to(part.u, false,
           by_group(context, groups, 0, part.scale, [&](int64_t g) { return forward_source(part.factors[g].a); }));
    output.rights[output.right_count++] =
        by_group(context, groups, left_count, 1.0f, [&](int64_t g) { return forward_source(part.factors[g].b); });
    lefts[left_count++] = rows_of_left(part.u, bf16);
  }
  multiply_through(context, x.rows, {lefts, left_count}, 1, {inner, inner_count}, {outer, static_cast<size_t>(count)},
                   groups);
}

// Left operands: each d_y_i, then each d_u_i. First d_u_i = scale_i d_y_i b_i, then d_x (+)= sum of d_y_i w_i + d_u_i
// a_i.
void linear_parts_d_x(void* self, const LinearPart* parts, int64_t count, const Matrix& d_x, bool accumulate,
                      RowGroups groups) {
  CpuContext& context = cpu(self);
  const bool bf16 = all_in_bf16(context, parts, count);
  Left lefts[2 * kMostParts];
  Output inner[kMostParts];
  Output output{d_x.cols, d_x.data, d_x.stride, accumulate, false, 0, {}};
  size_t left_count = 0, inner_count = 0;
  context.row_sources.clear();
  for (int64_t i = 0; i < count; i++) {
    const LinearPart& part = parts[i];
    if (part.u.data != nullptr)
      inner[inner_count++] = to(part.u, false, by_group(context, groups, left_count, part.scale, [&](int64_t g) {
                                  return backward_source(part.factors[g].b);
                                }));
    output.rights[output.right_count++] = {static_cast<int>(left_count), backward_source(part.w), 1.0f};
    lefts[left_count++] = rows_of_left(part.y, bf16);
  }
  for (int64_t i = 0; i < count; i++) {
    const LinearPart& part = parts[i];
    if (part.u.data == nullptr) continue;
    output.rights[output.right_count++] =
        by_group(context, groups, left_count, 1.0f, [&](int64_t g) { return backward_source(part.factors[g].a); });
    lefts[left_count++] = rows_of_left(part.u, bf16);
  }
  const std::span<const Output> outer(&output, d_x.data == nullptr ? 0 : 1);
  multiply_through(context, parts[0].y.rows, {lefts, left_count}, static_cast<size_t>(count), {inner, inner_count},
                   outer, groups);
}

}  // namespace oneround::ops
