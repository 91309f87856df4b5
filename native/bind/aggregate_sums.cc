// Sums, dense results and inner products of src/native/binding/.
#include <algorithm>
#include <memory>
#include <new>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "aggregate/coordinates.h"
#include "aggregate/dense.h"
#include "aggregate/file_mean.h"
#include "aggregate/grid.h"
#include "aggregate/inner_products.h"
#include "bind/aggregate.h"
#include "bind/factors.h"

namespace oneround::bind {
namespace {

constexpr size_t kMostThreads = 1024;

// Runs `body`; where memory ends, an error instead of the end of the process.
template <class Body>
Napi::Value guarded(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    throw_status(env, Status::error(Code::memory, "the updates do not fit in memory", "Aggregate fewer at once."));
    return env.Undefined();
  }
}

bool read_grid(Napi::Value value, std::span<int64_t>* grid) {
  std::span<const int64_t> view;
  if (!read_typed(value, "grid", napi_bigint64_array, "a BigInt64Array", &view)) return false;
  *grid = std::span<int64_t>(const_cast<int64_t*>(view.data()), view.size());
  return true;
}

bool check_size(Napi::Env env, const std::string& name, size_t found, const LayerShape& shape) {
  return found == shape.in * shape.out || refuse(env, name, std::to_string(shape.in * shape.out) + " numbers");
}

// The grid is the caller's and is kept, not copied: src/aggregate never hands its grids out.
Napi::Value add_to_grid(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    LayerShape shape;
    std::span<int64_t> grid;
    std::vector<aggregate::Factors> factors;
    size_t threads = 1;
    if (!read_shape(info[0], info[1], &shape) || !read_grid(info[2], &grid) ||
        !check_size(env, "grid", grid.size(), shape) || !read_factors(info[3], &factors) ||
        !read_size(info[4], "threads", 1, kMostThreads, &threads))
      return env.Undefined();
    Copies copies;
    copies.keep(&factors);
    const aggregate::GridLayer layer{shape.in, shape.out, grid};
    return start_job(
        env,
        [layer, threads, factors = std::move(factors), copies = std::move(copies)](const std::atomic<bool>& abort) {
          return aggregate::add_to_grid(layer, factors, static_cast<int>(threads), abort);
        },
        [](Napi::Env e) -> Napi::Value { return e.Undefined(); }, info[2].As<Napi::Object>());
  });
}

Napi::Value grid_values(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    std::span<int64_t> grid;
    double factor = 0;
    if (!read_grid(info[0], &grid) || !read_double(info[1], "factor", &factor)) return env.Undefined();
    Napi::Float32Array values = Napi::Float32Array::New(env, grid.size());
    aggregate::grid_values(grid, factor, values.Data());
    return values;
  });
}

Napi::Value merge_grids(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::span<int64_t> into, from;
  if (!read_grid(info[0], &into) || !read_grid(info[1], &from)) return env.Undefined();
  if (into.size() != from.size()) {
    refuse(env, "grids", "two of one size");
    return env.Undefined();
  }
  for (size_t i = 0; i < into.size(); ++i)
    into[i] = static_cast<int64_t>(static_cast<uint64_t>(into[i]) + static_cast<uint64_t>(from[i]));
  return env.Undefined();
}

Napi::Value element_bound(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    LayerShape shape;
    std::vector<aggregate::Factors> factors;
    if (!read_shape(info[0], info[1], &shape) || !read_factors(info[2], &factors)) return env.Undefined();
    const Status status = aggregate::check_factors(shape.in, shape.out, factors);
    if (!status.is_ok()) {
      throw_status(env, status);
      return env.Undefined();
    }
    double bound = 0;
    for (const aggregate::Factors& f : factors) bound += aggregate::element_bound(shape.in, shape.out, f);
    return Napi::Number::New(env, bound);
  });
}

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
          Scratch<int64_t> grid(shape.in * shape.out, 0);
          const aggregate::GridLayer layer{shape.in, shape.out, grid};
          const Status status = aggregate::add_to_grid(layer, work->factors, 1, abort);
          if (!status.is_ok()) return status;
          Scratch<float> values(grid.size());
          aggregate::grid_values(grid, factor, values.data());
          return aggregate::factorize_dense(shape.in, shape.out, values, rank, tolerance, &work->result, abort);
        },
        [work](Napi::Env e) -> Napi::Value { return to_factors(e, work->result); });
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

Napi::Value product_gram(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    LayerShape shape;
    struct Work {
      std::vector<aggregate::Factors> factors;
      Copies copies;
      std::vector<double> gram;
    };
    auto work = std::make_shared<Work>();
    if (!read_shape(info[0], info[1], &shape) || !read_factors(info[2], &work->factors)) return env.Undefined();
    work->copies.keep(&work->factors);
    return start_job(
        env,
        [work, shape](const std::atomic<bool>& abort) {
          return aggregate::product_gram(shape.in, shape.out, work->factors, &work->gram, abort);
        },
        [work](Napi::Env e) -> Napi::Value { return to_float64(e, work->gram); });
  });
}

Napi::Value mean_of_files(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Napi::Array files, lengths;
    size_t threads = 1;
    if (!read_array(info[0], "files", &files) || !read_array(info[1], "lengths", &lengths) ||
        !read_size(info[2], "threads", 1, kMostThreads, &threads))
      return env.Undefined();
    if (files.Length() > kMostPairs || lengths.Length() > kMostPairs) {
      refuse(env, "files", "a list of at most 1048576 files");
      return env.Undefined();
    }
    struct Work {
      std::vector<aggregate::FloatFile> files;
      std::vector<size_t> lengths;
      std::vector<double> squares;
    };
    auto work = std::make_shared<Work>();
    for (uint32_t i = 0; i < lengths.Length(); ++i) {
      size_t length = 0;
      if (!read_size(lengths.Get(i), "lengths[" + std::to_string(i) + "]", 1, size_t{1} << 31, &length))
        return env.Undefined();
      work->lengths.push_back(length);
    }
    for (uint32_t i = 0; i < files.Length(); ++i) {
      const std::string name = "files[" + std::to_string(i) + "]";
      Napi::Object object;
      aggregate::FloatFile file;
      size_t offset = 0;
      if (!read_object(files.Get(i), name, &object) || !read_string(object.Get("path"), name + ".path", &file.path) ||
          !read_size(object.Get("offset"), name + ".offset", 0, size_t{1} << 40, &offset) ||
          !read_double(object.Get("weight"), name + ".weight", &file.weight))
        return env.Undefined();
      file.offset = offset;
      work->files.push_back(std::move(file));
    }
    // Written where JavaScript will find it, which knows nothing of it until the job has ended.
    const size_t total = std::accumulate(work->lengths.begin(), work->lengths.end(), size_t{0});
    Napi::Float32Array values = Napi::Float32Array::New(env, total);
    if (env.IsExceptionPending()) return env.Undefined();
    const std::span<float> mean(values.Data(), total);
    auto kept = std::make_shared<Napi::ObjectReference>(Napi::Persistent(values.As<Napi::Object>()));
    return start_job(
        env,
        [work, threads, mean](const std::atomic<bool>& abort) {
          return aggregate::mean_of_files(work->files, work->lengths, static_cast<int>(threads), mean, &work->squares,
                                          abort);
        },
        [work, kept](Napi::Env e) -> Napi::Value {
          Napi::Object result = Napi::Object::New(e);
          result.Set("mean", kept->Value());
          result.Set("squares", to_float64(e, work->squares));
          return result;
        });
  });
}

}  // namespace

void init_aggregate_sums(Napi::Env env, Napi::Object exports) {
  exports.Set("addToGrid", Napi::Function::New(env, add_to_grid, "addToGrid"));
  exports.Set("gridValues", Napi::Function::New(env, grid_values, "gridValues"));
  exports.Set("mergeGrids", Napi::Function::New(env, merge_grids, "mergeGrids"));
  exports.Set("elementBound", Napi::Function::New(env, element_bound, "elementBound"));
  exports.Set("denseSum", Napi::Function::New(env, dense_sum, "denseSum"));
  exports.Set("factorizeDense", Napi::Function::New(env, factorize_dense, "factorizeDense"));
  exports.Set("factorizeOnGrid", Napi::Function::New(env, factorize_on_grid, "factorizeOnGrid"));
  exports.Set("coordinateWise", Napi::Function::New(env, coordinate_wise, "coordinateWise"));
  exports.Set("productGram", Napi::Function::New(env, product_gram, "productGram"));
  exports.Set("meanOfFiles", Napi::Function::New(env, mean_of_files, "meanOfFiles"));
}

}  // namespace oneround::bind
