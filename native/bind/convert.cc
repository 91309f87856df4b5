#include "bind/convert.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "bind/job.h"
#include "bind/values.h"
#include "bind/weights.h"
#include "convert/merge.h"

namespace oneround::bind {

namespace {

constexpr size_t kMost = size_t{1} << 31;

class MergeJob : public Job {
 public:
  // Copies the numbers: JavaScript may change or detach its arrays while the job runs.
  MergeJob(std::shared_ptr<const BaseWeights> base, convert::RowsRequest request)
      : base_(std::move(base)),
        request_(std::move(request)),
        a_(request_.a.begin(), request_.a.end()),
        b_(request_.b.begin(), request_.b.end()),
        delta_(request_.delta.begin(), request_.delta.end()) {
    request_.a = a_;
    request_.b = b_;
    request_.delta = delta_;
  }

  Status run(const std::atomic<bool>& abort) override { return convert::merge_rows(*base_, request_, abort, &rows_); }

  Napi::Value result(Napi::Env env) override {
    Napi::Uint8Array bytes = Napi::Uint8Array::New(env, rows_.bytes.size());
    if (env.IsExceptionPending()) return env.Undefined();
    std::memcpy(bytes.Data(), rows_.bytes.data(), rows_.bytes.size());
    Napi::Object object = Napi::Object::New(env);
    object.Set("bytes", bytes);
    object.Set("squaredBase", rows_.base);
    object.Set("squaredChange", rows_.change);
    object.Set("squaredError", rows_.error);
    object.Set("overflows", static_cast<double>(rows_.overflows));
    return object;
  }

 private:
  std::shared_ptr<const BaseWeights> base_;
  convert::RowsRequest request_;
  std::vector<float> a_, b_, delta_;
  convert::Rows rows_;
};

bool read_change(Napi::Object object, convert::RowsRequest* out) {
  if (object.Has("factors")) {
    Napi::Object factors;
    size_t rank = 0;
    if (!read_object(object.Get("factors"), "factors", &factors) ||
        !read_size(factors.Get("rank"), "factors.rank", 1, 1 << 16, &rank) ||
        !read_double(factors.Get("scale"), "factors.scale", &out->scale) ||
        !read_float32(factors.Get("a"), "factors.a", &out->a) || !read_float32(factors.Get("b"), "factors.b", &out->b))
      return false;
    out->rank = static_cast<int64_t>(rank);
  }
  return !object.Has("delta") || (read_float32(object.Get("delta"), "delta", &out->delta) &&
                                  read_bool(object.Get("deltaTransposed"), "deltaTransposed", &out->delta_transposed));
}

bool read_request(Napi::Value value, convert::RowsRequest* out) {
  Napi::Object object;
  size_t first = 0, count = 0, heads = 0;
  if (!read_object(value, "request", &object) || !read_string(object.Get("tensor"), "tensor", &out->tensor) ||
      !read_size(object.Get("firstRow"), "firstRow", 0, kMost, &first) ||
      !read_size(object.Get("rows"), "rows", 1, kMost, &count) || !read_type(object.Get("type"), "type", &out->type) ||
      !read_bool(object.Get("transposed"), "transposed", &out->transposed) ||
      !read_size(object.Get("interleavedHeads"), "interleavedHeads", 0, kMost, &heads))
    return false;
  out->first = static_cast<int64_t>(first);
  out->count = static_cast<int64_t>(count);
  out->interleaved_heads = static_cast<int64_t>(heads);
  return read_change(object, out);
}

Napi::Value merge_rows(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Weights* weights = info[0].IsObject() ? Weights::unwrap(info[0].As<Napi::Object>()) : nullptr;
  if (weights == nullptr || weights->base() == nullptr) {
    refuse(env, "weights", "open Weights");
    return env.Undefined();
  }
  convert::RowsRequest request;
  if (!read_request(info[1], &request)) return env.Undefined();
  std::unique_ptr<Job> job;
  try {
    job = std::make_unique<MergeJob>(weights->base(), std::move(request));
  } catch (const std::bad_alloc&) {
    throw_status(env, Status::error(Code::memory, "the factors do not fit in memory", "Free memory and try again."));
    return env.Undefined();
  }
  return JobThread::start(env, std::move(job));
}

}  // namespace

void init_convert(Napi::Env env, Napi::Object exports) {
  exports.Set("mergeRows", Napi::Function::New(env, merge_rows, "mergeRows"));
}

}  // namespace oneround::bind
