#include "bind/peak.h"

#include "bind/session_options.h"
#include "bind/values.h"
#include "bind/weights.h"
#include "ops/probe.h"

namespace oneround::bind {

namespace {

constexpr double kSeconds = 0.2;
constexpr size_t kMostRows = size_t{1} << 20;

Napi::Value number_or_throw(Napi::Env env, const Status& status, double value) {
  if (status.is_ok()) return Napi::Number::New(env, value);
  throw_status(env, status);
  return env.Undefined();
}

Napi::Value peak(const Napi::CallbackInfo& info) {
  Compute compute;
  size_t threads;
  if (!read_compute(info[0], &compute) || !read_size(info[1], "threads", 1, 256, &threads))
    return info.Env().Undefined();
  double rate = 0;
  const Status status = probe_peak(compute, static_cast<int>(threads), kSeconds, &rate);
  return number_or_throw(info.Env(), status, rate);
}

Napi::Value bandwidth(const Napi::CallbackInfo& info) {
  size_t threads, bytes;
  if (!read_size(info[0], "threads", 1, 256, &threads) ||
      !read_size(info[1], "bytes", 1 << 20, size_t{1} << 36, &bytes))
    return info.Env().Undefined();
  double rate = 0;
  const Status status = probe_bandwidth(static_cast<int>(threads), static_cast<int64_t>(bytes), kSeconds, &rate);
  return number_or_throw(info.Env(), status, rate);
}

Napi::Value product(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object o;
  ProductProbe probe;
  size_t rows, in, out, threads, repeats;
  if (!read_object(info[0], "product", &o) || !read_type(o.Get("type"), "type", &probe.type) ||
      !read_size(o.Get("rows"), "rows", 1, kMostRows, &rows) || !read_size(o.Get("in"), "in", 1, kMostRows, &in) ||
      !read_size(o.Get("out"), "out", 1, kMostRows, &out) ||
      !read_bool(o.Get("backward"), "backward", &probe.backward) || !read_compute(o.Get("compute"), &probe.compute) ||
      !read_size(o.Get("threads"), "threads", 1, 256, &threads) ||
      !read_size(o.Get("repeats"), "repeats", 1, 1000, &repeats))
    return env.Undefined();
  probe.rows = static_cast<int64_t>(rows);
  probe.in = static_cast<int64_t>(in);
  probe.out = static_cast<int64_t>(out);
  probe.threads = static_cast<int>(threads);
  probe.repeats = static_cast<int>(repeats);
  std::vector<double> seconds;
  if (Status s = probe_product(probe, &seconds); !s.is_ok()) {
    throw_status(env, s);
    return env.Undefined();
  }
  return to_float64(env, seconds);
}

}  // namespace

void init_peak(Napi::Env env, Napi::Object exports) {
  exports.Set("probePeak", Napi::Function::New(env, peak, "probePeak"));
  exports.Set("probeBandwidth", Napi::Function::New(env, bandwidth, "probeBandwidth"));
  exports.Set("probeProduct", Napi::Function::New(env, product, "probeProduct"));
}

}  // namespace oneround::bind
