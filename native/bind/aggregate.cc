#include "bind/aggregate.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "aggregate/factorize.h"
#include "bind/factors.h"
#include "bind/job.h"
#include "bind/values.h"
#include "engine/status.h"

namespace oneround::bind {
namespace {

class FactorizeJob : public Job {
 public:
  // Copies the factors: JavaScript may change or detach its arrays while the job runs.
  FactorizeJob(LayerShape shape, std::vector<aggregate::Factors> factors, size_t max_rank, double tolerance)
      : shape_(shape), max_rank_(max_rank), tolerance_(tolerance), factors_(std::move(factors)) {
    copies_.keep(&factors_);
  }

  Status run(const std::atomic<bool>& abort) override {
    return aggregate::factorize_sum(shape_.in, shape_.out, factors_, max_rank_, tolerance_, &sum_, abort);
  }

  Napi::Value result(Napi::Env env) override {
    Napi::Object object = Napi::Object::New(env);
    object.Set("rank", static_cast<double>(sum_.rank));
    object.Set("a", to_float32(env, sum_.a));
    object.Set("b", to_float32(env, sum_.b));
    object.Set("singularValues", to_float64(env, sum_.singular_values));
    return object;
  }

 private:
  LayerShape shape_;
  size_t max_rank_;
  double tolerance_;
  Copies copies_;
  std::vector<aggregate::Factors> factors_;
  aggregate::FactorizedSum sum_;
};

Napi::Value factorize_sum(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  LayerShape shape;
  std::vector<aggregate::Factors> factors;
  size_t max_rank = 0;
  double tolerance = 0;
  if (!read_shape(info[0], info[1], &shape) || !read_factors(info[2], &factors) ||
      !read_size(info[3], "maxRank", 1, kMostFeatures, &max_rank) || !read_double(info[4], "tolerance", &tolerance)) {
    return env.Undefined();
  }
  if (tolerance < 0) {
    refuse(env, "tolerance", "a number of at least 0");
    return env.Undefined();
  }
  const Status status = aggregate::check_factors(shape.in, shape.out, factors);
  if (!status.is_ok()) {
    throw_status(env, status);
    return env.Undefined();
  }
  std::unique_ptr<Job> job;
  try {
    job = std::make_unique<FactorizeJob>(shape, factors, max_rank, tolerance);
  } catch (const std::bad_alloc&) {
    throw_status(env, Status::error(Code::memory, "the factors do not fit in memory", "Aggregate fewer updates."));
    return env.Undefined();
  }
  return JobThread::start(env, std::move(job));
}

Napi::Value sum_squared_norm(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  LayerShape shape;
  std::vector<aggregate::Factors> factors;
  if (!read_shape(info[0], info[1], &shape) || !read_factors(info[2], &factors)) return env.Undefined();
  const Status status = aggregate::check_factors(shape.in, shape.out, factors);
  if (!status.is_ok()) {
    throw_status(env, status);
    return env.Undefined();
  }
  try {
    return Napi::Number::New(env, aggregate::sum_squared_norm(shape.in, shape.out, factors));
  } catch (const std::bad_alloc&) {
    throw_status(env, Status::error(Code::memory, "the factors do not fit in memory", "Pass fewer pairs at once."));
    return env.Undefined();
  }
}

}  // namespace

void init_aggregate(Napi::Env env, Napi::Object exports) {
  exports.Set("factorizeSum", Napi::Function::New(env, factorize_sum, "factorizeSum"));
  exports.Set("sumSquaredNorm", Napi::Function::New(env, sum_squared_norm, "sumSquaredNorm"));
  init_aggregate_sums(env, exports);
}

}  // namespace oneround::bind
