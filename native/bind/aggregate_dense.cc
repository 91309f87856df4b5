// Dense results and their factors of src/native/binding/.
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "aggregate/coordinates.h"
#include "aggregate/dense.h"
#include "aggregate/grid.h"
#include "bind/aggregate.h"
#include "bind/factors.h"
#include "engine/kept_pages.h"
#include "engine/scratch.h"

namespace oneround::bind {
namespace {

Napi::Value dense_sum(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    LayerShape shape;
    std::vector<aggregate::Factors> factors;
    std::span<const float> dense;
    double weight = 0;
    if (!read_shape(info[0], info[1], &shape) || !read_factors(info[2], &factors) ||
        !read_float32(info[3], "dense", &dense) || !read_double(info[4], "denseWeight", &weight))
      return env.Undefined();
    if (!dense.empty() && !check_size(env, "dense", dense.size(), shape)) return env.Undefined();
    struct Work {
      std::vector<aggregate::Factors> factors;
      Copies copies;
      std::span<const float> dense;
      std::vector<float> values;
      double squared = 0;
    };
    auto work = std::make_shared<Work>();
    work->factors = std::move(factors);
    work->copies.keep(&work->factors);
    work->dense = work->copies.keep(dense);
    return start_job(
        env,
        [work, shape, weight](const std::atomic<bool>& abort) {
          return aggregate::dense_sum(shape.in, shape.out, work->factors, work->dense, weight, &work->values,
                                      &work->squared, abort);
        },
        [work](Napi::Env e) -> Napi::Value {
          Napi::Object result = Napi::Object::New(e);
          result.Set("values", to_float32(e, work->values));
          result.Set("squaredNorm", work->squared);
          return result;
        });
  });
}

Napi::Value to_factors(Napi::Env env, const aggregate::FactorizedDense& found) {
  const aggregate::FactorizedSum& f = found.factors;
  Napi::Object result = Napi::Object::New(env);
  result.Set("rank", static_cast<double>(f.rank));
  result.Set("a", to_float32(env, f.a));
  result.Set("b", to_float32(env, f.b));
  result.Set("singularValues", to_float64(env, f.singular_values));
  result.Set("norm", found.norm);
  result.Set("lost", found.lost);
  return result;
}

Napi::Value factorize_dense(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    LayerShape shape;
    std::span<const float> values;
    size_t rank = 0;
    double tolerance = 0;
    if (!read_shape(info[0], info[1], &shape) || !read_float32(info[2], "values", &values) ||
        !check_size(env, "values", values.size(), shape) || !read_size(info[3], "maxRank", 1, kMostFeatures, &rank) ||
        !read_double(info[4], "tolerance", &tolerance))
      return env.Undefined();
    struct Work {
      Copies copies;
      std::span<const float> values;
      aggregate::FactorizedDense result;
    };
    auto work = std::make_shared<Work>();
    work->values = work->copies.keep(values);
    return start_job(
        env,
        [work, shape, rank, tolerance](const std::atomic<bool>& abort) {
          return aggregate::factorize_dense(shape.in, shape.out, work->values, rank, tolerance, &work->result, abort);
        },
        [work](Napi::Env e) -> Napi::Value { return to_factors(e, work->result); });
  });
}

Napi::Value factorize_on_grid(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    LayerShape shape;
    struct Work {
      KeptPages pages;  // layers come one after another: what one leaves, the next takes
      Copies copies;
      std::vector<aggregate::Factors> factors;
      aggregate::FactorizedDense result;
    };
    auto work = std::make_shared<Work>();
    size_t rank = 0;
    double factor = 0, tolerance = 0;
    if (!read_shape(info[0], info[1], &shape) || !read_factors(info[2], &work->factors) ||
        !read_double(info[3], "factor", &factor) || !read_size(info[4], "maxRank", 1, kMostFeatures, &rank) ||
        !read_double(info[5], "tolerance", &tolerance))
      return env.Undefined();
    work->copies.keep(&work->factors);
    return start_job(
        env,
        [work, shape, factor, rank, tolerance](const std::atomic<bool>& abort) {
          Scratch<float> tall;
          const Status status = aggregate::sum_on_grid(shape.in, shape.out, work->factors, factor,
                                                       aggregate::is_wide(shape.in, shape.out), &tall, abort);
          if (!status.is_ok()) return status;
          // Given back before more is taken: fresh memory costs as much as some of the sums.
          work->copies = Copies();
          return aggregate::factorize_tall(shape.in, shape.out, tall, rank, tolerance, &work->result, abort);
        },
        [work](Napi::Env e) -> Napi::Value { return to_factors(e, work->result); });
  });
}

// The grid is the caller's and is kept, not copied, as addToGrid does.
Napi::Value factorize_grid(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    LayerShape shape;
    std::span<const int64_t> grid;
    size_t rank = 0;
    double factor = 0, tolerance = 0;
    if (!read_shape(info[0], info[1], &shape) ||
        !read_typed(info[2], "grid", napi_bigint64_array, "a BigInt64Array", &grid) ||
        !check_size(env, "grid", grid.size(), shape) || !read_double(info[3], "factor", &factor) ||
        !read_size(info[4], "maxRank", 1, kMostFeatures, &rank) || !read_double(info[5], "tolerance", &tolerance))
      return env.Undefined();
    struct Work {
      KeptPages pages;
      aggregate::FactorizedDense result;
    };
    auto work = std::make_shared<Work>();
    return start_job(
        env,
        [work, shape, grid, factor, rank, tolerance](const std::atomic<bool>& abort) {
          Scratch<float> values(grid.size());
          aggregate::grid_values(grid, factor, values.data());
          return aggregate::factorize_dense(shape.in, shape.out, values, rank, tolerance, &work->result, abort);
        },
        [work](Napi::Env e) -> Napi::Value { return to_factors(e, work->result); }, info[2].As<Napi::Object>());
  });
}

bool read_rule(Napi::Value value, aggregate::CoordinateRule* rule) {
  std::string name;
  if (!read_string(value, "rule", &name)) return false;
  if (name == "median") return *rule = aggregate::CoordinateRule::median, true;
  if (name == "trimmed-mean") return *rule = aggregate::CoordinateRule::trimmed_mean, true;
  if (name == "ties") return *rule = aggregate::CoordinateRule::ties, true;
  if (name == "dare") return *rule = aggregate::CoordinateRule::dare, true;
  return refuse(value.Env(), "rule", "'median', 'trimmed-mean', 'ties' or 'dare'");
}

bool read_coordinate_options(Napi::Value value, aggregate::CoordinateOptions* options) {
  Napi::Object o;
  size_t seed = 0;
  if (!read_object(value, "options", &o) || !read_rule(o.Get("rule"), &options->rule) ||
      !read_size(o.Get("trimmed"), "trimmed", 0, kMostPairs, &options->trimmed) ||
      !read_double(o.Get("density"), "density", &options->density) ||
      !read_double(o.Get("drop"), "drop", &options->drop) || !read_size(o.Get("seed"), "seed", 0, 0xffffffffu, &seed))
    return false;
  options->seed = static_cast<uint32_t>(seed);
  if (!(options->density > 0 && options->density <= 1)) return refuse(value.Env(), "density", "above 0, at most 1");
  if (!(options->drop >= 0 && options->drop < 1)) return refuse(value.Env(), "drop", "from 0 to below 1");
  return true;
}

Napi::Value coordinate_wise(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    LayerShape shape;
    Napi::Array list;
    aggregate::CoordinateOptions options;
    if (!read_shape(info[0], info[1], &shape) || !read_array(info[2], "parts", &list) ||
        !read_coordinate_options(info[3], &options))
      return env.Undefined();
    if (list.Length() > kMostPairs) {
      refuse(env, "parts", "a list of at most 1048576 parts");
      return env.Undefined();
    }
    struct Work {
      Copies copies;
      std::vector<aggregate::CoordinatePart> parts;
      std::vector<float> values;
    };
    auto work = std::make_shared<Work>();
    for (uint32_t i = 0; i < list.Length(); ++i) {
      const std::string name = "parts[" + std::to_string(i) + "]";
      Napi::Object object;
      aggregate::CoordinatePart part;
      size_t stream = 0;
      if (!read_pair(list.Get(i), name, &object, &part.factors) ||
          !read_double(object.Get("share"), name + ".share", &part.share) ||
          !read_size(object.Get("stream"), name + ".stream", 0, 0xffffffffu, &stream))
        return env.Undefined();
      part.stream = static_cast<uint32_t>(stream);
      part.factors.a = work->copies.keep(part.factors.a);
      part.factors.b = work->copies.keep(part.factors.b);
      work->parts.push_back(part);
    }
    return start_job(
        env,
        [work, shape, options](const std::atomic<bool>& abort) {
          return aggregate::coordinate_wise(shape.in, shape.out, work->parts, options, &work->values, abort);
        },
        [work](Napi::Env e) -> Napi::Value { return to_float32(e, work->values); });
  });
}

}  // namespace

void init_aggregate_dense(Napi::Env env, Napi::Object exports) {
  exports.Set("denseSum", Napi::Function::New(env, dense_sum, "denseSum"));
  exports.Set("factorizeDense", Napi::Function::New(env, factorize_dense, "factorizeDense"));
  exports.Set("factorizeOnGrid", Napi::Function::New(env, factorize_on_grid, "factorizeOnGrid"));
  exports.Set("factorizeGrid", Napi::Function::New(env, factorize_grid, "factorizeGrid"));
  exports.Set("coordinateWise", Napi::Function::New(env, coordinate_wise, "coordinateWise"));
}

}  // namespace oneround::bind
