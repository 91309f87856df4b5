#include "ops/profiled_backend.h"

#include <chrono>
#include <tuple>
#include <type_traits>

namespace oneround {

namespace {

double bytes_of(const Matrix& m) {
  return m.data == nullptr ? 0 : static_cast<double>(m.rows) * static_cast<double>(m.cols) * 4;
}
double bytes_of(const Weight& w) {
  return w.data == nullptr ? 0 : static_cast<double>(w.rows) * static_cast<double>(row_bytes(w.type, w.cols));
}
template <class Other>
double bytes_of(const Other&) {
  return 0;
}

double product(const Matrix& rows, const Weight& w) {
  return 2.0 * static_cast<double>(rows.rows) * static_cast<double>(w.rows) * static_cast<double>(w.cols);
}

double pairs_of(AttentionShape shape, Segments segments) {
  double pairs = 0;
  for (int64_t s = 0; s < segments.count; s++) {
    const double n = static_cast<double>(segments.data[s].count);
    pairs += n * (n + 1) / 2;
  }
  return pairs * static_cast<double>(shape.heads * shape.head_dim);
}

double part_flop(const LinearPart& part, bool outer) {
  double flop = outer ? product(part.y, part.w) : 0;
  if (part.u.data != nullptr) flop += product(part.y, part.factors->b) + (outer ? product(part.y, part.factors->a) : 0);
  return flop;
}

double part_bytes(const LinearPart& part, bool outer, RowGroups groups) {
  double bytes = bytes_of(part.y) + 2 * bytes_of(part.u) + (outer ? bytes_of(part.w) : 0);
  if (part.u.data == nullptr) return bytes;
  for (int64_t g = 0; g < groups.count; g++)
    bytes += bytes_of(part.factors[g].b) + (outer ? bytes_of(part.factors[g].a) : 0);
  return bytes;
}

template <auto a, auto b>
constexpr bool same = std::is_same_v<std::integral_constant<decltype(a), a>, std::integral_constant<decltype(b), b>>;

// Arithmetic and bytes that the operands' shapes do not say by themselves.
template <auto member, class Arguments>
void add_work(OperationProfile& profile, const Arguments& a) {
  if constexpr (same<member, &Backend::linear> || same<member, &Backend::linear_d_x>) {
    profile.flop += product(std::get<0>(a), std::get<1>(a));
  } else if constexpr (same<member, &Backend::linear_d_w>) {
    const Matrix &d_y = std::get<0>(a), &x = std::get<1>(a);
    profile.flop += 2.0 * static_cast<double>(d_y.rows) * static_cast<double>(d_y.cols) * static_cast<double>(x.cols);
  } else if constexpr (same<member, &Backend::linear_parts>) {
    for (int64_t i = 0; i < std::get<2>(a); i++) {
      profile.flop += part_flop(std::get<1>(a)[i], true);
      profile.bytes += part_bytes(std::get<1>(a)[i], true, std::get<3>(a));
    }
  } else if constexpr (same<member, &Backend::linear_parts_d_x>) {
    const bool outer = std::get<2>(a).data != nullptr;
    for (int64_t i = 0; i < std::get<1>(a); i++) {
      profile.flop += part_flop(std::get<0>(a)[i], outer);
      profile.bytes += part_bytes(std::get<0>(a)[i], outer, std::get<4>(a));
    }
  } else if constexpr (same<member, &Backend::attention>) {
    profile.flop += 4 * pairs_of(std::get<3>(a), std::get<6>(a));
  } else if constexpr (same<member, &Backend::attention_backward>) {
    profile.flop += 10 * pairs_of(std::get<3>(a), std::get<10>(a));
  } else if constexpr (same<member, &Backend::adamw>) {
    profile.bytes += 28.0 * static_cast<double>(std::get<4>(a));
  }
}

template <size_t index, auto member, class Entry>
struct Timed;

template <size_t index, auto member, class Result, class... Arguments>
struct Timed<index, member, Result (*)(void*, Arguments...)> {
  static_assert(index < ProfiledBackend::kOperations, "a new operation needs a place");
  static Result call(void* self, Arguments... arguments) {
    ProfiledBackend& profiled = *static_cast<ProfiledBackend*>(self);
    OperationProfile& profile = profiled.operations[index];
    const auto start = std::chrono::steady_clock::now();
    const auto finish = [&] {
      profile.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      profile.calls++;
      profile.bytes += (0.0 + ... + bytes_of(arguments));
      add_work<member>(profile, std::tie(arguments...));
    };
    const auto run = [&] { return (profiled.inner.*member)(profiled.inner.self, arguments...); };
    if constexpr (std::is_void_v<Result>) {
      run();
      finish();
    } else {
      const Result result = run();
      finish();
      return result;
    }
  }
};

}  // namespace

ProfiledBackend::ProfiledBackend(const Backend& measured) : inner(measured), table_(measured) {
  table_.self = this;
#define ONEROUND_TIMED(index, entry) \
  operations[index].name = #entry;   \
  table_.entry = Timed<index, &Backend::entry, std::remove_reference_t<decltype(table_.entry)>>::call
  ONEROUND_TIMED(0, embed);
  ONEROUND_TIMED(1, embed_backward);
  ONEROUND_TIMED(2, rms_norm);
  ONEROUND_TIMED(3, rms_norm_again);
  ONEROUND_TIMED(4, rms_norm_backward);
  ONEROUND_TIMED(5, layer_norm);
  ONEROUND_TIMED(6, layer_norm_again);
  ONEROUND_TIMED(7, layer_norm_backward);
  ONEROUND_TIMED(8, add_bias);
  ONEROUND_TIMED(9, bias_backward);
  ONEROUND_TIMED(10, linear);
  ONEROUND_TIMED(11, linear_d_x);
  ONEROUND_TIMED(12, linear_d_w);
  ONEROUND_TIMED(13, linear_parts);
  ONEROUND_TIMED(14, linear_parts_d_x);
  ONEROUND_TIMED(15, linear_row);
  ONEROUND_TIMED(16, rope);
  ONEROUND_TIMED(17, attention);
  ONEROUND_TIMED(18, attention_row);
  ONEROUND_TIMED(19, attention_backward);
  ONEROUND_TIMED(20, gelu);
  ONEROUND_TIMED(21, gelu_backward);
  ONEROUND_TIMED(22, swiglu);
  ONEROUND_TIMED(23, swiglu_backward);
  ONEROUND_TIMED(24, dropout);
  ONEROUND_TIMED(25, copy);
  ONEROUND_TIMED(26, add);
  ONEROUND_TIMED(27, gather_rows);
  ONEROUND_TIMED(28, scatter_rows);
  ONEROUND_TIMED(29, cross_entropy);
  ONEROUND_TIMED(30, squared_norm);
  ONEROUND_TIMED(31, adamw);
  ONEROUND_TIMED(32, sgd);
  ONEROUND_TIMED(33, fill_zero);
  ONEROUND_TIMED(34, scratch_bytes);
  ONEROUND_TIMED(35, keep_rounded);
  ONEROUND_TIMED(36, take_kept);
  ONEROUND_TIMED(37, swiglu_keep);
  ONEROUND_TIMED(38, swiglu_kept);
  ONEROUND_TIMED(39, swiglu_kept_backward);
#undef ONEROUND_TIMED
}

std::vector<OperationProfile> ProfiledBackend::take() {
  std::vector<OperationProfile> called;
  for (OperationProfile& operation : operations) {
    if (operation.calls == 0) continue;
    called.push_back(operation);
    operation = {operation.name, 0, 0, 0, 0};
  }
  return called;
}

}  // namespace oneround
