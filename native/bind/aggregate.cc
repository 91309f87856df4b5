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
#include "bind/job.h"
#include "bind/values.h"
#include "engine/status.h"

namespace oneround::bind {
namespace {

// Far above any model; they keep every product of two sizes inside 64 bits.
constexpr size_t kMostFeatures = size_t{1} << 24;
constexpr size_t kMostRank = size_t{1} << 16;
constexpr size_t kMostPairs = size_t{1} << 20;

struct Shape {
  size_t in = 0;
  size_t out = 0;
};

bool read_shape(const Napi::CallbackInfo& info, Shape* shape) {
  return read_size(info[0], "inDim", 1, kMostFeatures, &shape->in) &&
         read_size(info[1], "outDim", 1, kMostFeatures, &shape->out);
}

// Views into the caller's arrays; their sizes are checked by aggregate::check_factors.
bool read_factors(Napi::Value value, std::vector<aggregate::Factors>* factors) {
  Napi::Array list;
  if (!read_array(value, "pairs", &list)) return false;
  if (list.Length() > kMostPairs) return refuse(value.Env(), "pairs", "a list of at most 1048576 pairs");
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const std::string name = "pairs[" + std::to_string(i) + "]";
    Napi::Object pair;
    aggregate::Factors f;
    if (!read_object(list.Get(i), name, &pair) || !read_size(pair.Get("rank"), name + ".rank", 1, kMostRank, &f.rank) ||
        !read_double(pair.Get("weight"), name + ".weight", &f.weight) ||
        !read_float32(pair.Get("a"), name + ".a", &f.a) || !read_float32(pair.Get("b"), name + ".b", &f.b)) {
      return false;
    }
    factors->push_back(f);
  }
  return true;
}

class FactorizeJob : public Job {
 public:
  // Copies the factors: JavaScript may change or detach its arrays while the job runs.
  FactorizeJob(Shape shape, const std::vector<aggregate::Factors>& factors, size_t max_rank, double tolerance)
      : shape_(shape), max_rank_(max_rank), tolerance_(tolerance) {
    copies_.reserve(2 * factors.size());
    for (aggregate::Factors f : factors) {
      f.a = keep(f.a);
      f.b = keep(f.b);
      factors_.push_back(f);
    }
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
  std::span<const float> keep(std::span<const float> values) {
    copies_.emplace_back(values.begin(), values.end());
    return copies_.back();
  }

  Shape shape_;
  size_t max_rank_;
  double tolerance_;
  std::vector<std::vector<float>> copies_;
  std::vector<aggregate::Factors> factors_;
  aggregate::FactorizedSum sum_;
};

Napi::Value factorize_sum(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Shape shape;
  std::vector<aggregate::Factors> factors;
  size_t max_rank = 0;
  double tolerance = 0;
  if (!read_shape(info, &shape) || !read_factors(info[2], &factors) ||
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
  Shape shape;
  std::vector<aggregate::Factors> factors;
  if (!read_shape(info, &shape) || !read_factors(info[2], &factors)) return env.Undefined();
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
}

}  // namespace oneround::bind
