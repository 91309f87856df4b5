// Sums on the grid, of files, and inner products of src/native/binding/.
#include <algorithm>
#include <cmath>
#include <memory>
#include <new>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "aggregate/columns.h"
#include "aggregate/file_mean.h"
#include "aggregate/grid.h"
#include "aggregate/inner_products.h"
#include "bind/aggregate.h"
#include "bind/factors.h"

namespace oneround::bind {
namespace {

constexpr size_t kMostThreads = 1024;
constexpr size_t kMostHeads = 1024;  // with their size, they keep a product inside 64 bits

bool read_grid(Napi::Value value, std::span<int64_t>* grid) {
  std::span<const int64_t> view;
  if (!read_typed(value, "grid", napi_bigint64_array, "a BigInt64Array", &view)) return false;
  *grid = std::span<int64_t>(const_cast<int64_t*>(view.data()), view.size());
  return true;
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

// Nothing is copied: the caller owns grids and factors alike, and changes neither before the job has ended.
Napi::Value add_to_grids(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Napi::Array layers;
    size_t threads = 1;
    if (!read_array(info[0], "layers", &layers) || !read_size(info[1], "threads", 1, kMostThreads, &threads))
      return env.Undefined();
    if (layers.Length() > kMostPairs) {
      refuse(env, "layers", "a list of at most 1048576 layers");
      return env.Undefined();
    }
    std::vector<aggregate::GridSum> sums(layers.Length());
    for (uint32_t i = 0; i < layers.Length(); ++i) {
      Napi::Object object;
      LayerShape shape;
      std::span<int64_t> grid;
      if (!read_object(layers.Get(i), "layers[" + std::to_string(i) + "]", &object) ||
          !read_shape(object.Get("in"), object.Get("out"), &shape) || !read_grid(object.Get("grid"), &grid) ||
          !check_size(env, "grid", grid.size(), shape) || !read_bool(object.Get("isNew"), "isNew", &sums[i].is_new) ||
          !read_factors(object.Get("pairs"), &sums[i].factors))
        return env.Undefined();
      sums[i].layer = aggregate::GridLayer{shape.in, shape.out, grid};
    }
    return start_job(
        env,
        [threads, sums = std::move(sums)](const std::atomic<bool>& abort) {
          return aggregate::add_to_grids(sums, static_cast<int>(threads), abort);
        },
        [](Napi::Env e) -> Napi::Value { return e.Undefined(); }, layers);
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

Napi::Value norms(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array arrays;
  if (!read_array(info[0], "arrays", &arrays)) return env.Undefined();
  Napi::Float64Array result = Napi::Float64Array::New(env, arrays.Length());
  for (uint32_t i = 0; i < arrays.Length(); ++i) {
    std::span<const float> values;
    if (!read_float32(arrays.Get(i), "arrays[" + std::to_string(i) + "]", &values)) return env.Undefined();
    result[i] = std::sqrt(aggregate::kernels().sum_of_squares(values.data(), static_cast<int64_t>(values.size())));
  }
  return result;
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

Napi::Value file_heads(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Napi::Array list;
    size_t size = 0;
    if (!read_array(info[0], "paths", &list) || !read_size(info[1], "size", 1, size_t{1} << 26, &size))
      return env.Undefined();
    if (list.Length() > kMostHeads) {
      refuse(env, "paths", "a list of at most 1024 paths");
      return env.Undefined();
    }
    struct Work {
      std::vector<std::string> paths;
      std::vector<double> lengths;
    };
    auto work = std::make_shared<Work>();
    for (uint32_t i = 0; i < list.Length(); ++i) {
      std::string path;
      if (!read_string(list.Get(i), "paths[" + std::to_string(i) + "]", &path)) return env.Undefined();
      work->paths.push_back(std::move(path));
    }
    // Written where JavaScript will find it, which knows nothing of it until the job has ended.
    Napi::Uint8Array bytes = Napi::Uint8Array::New(env, size * work->paths.size());
    if (env.IsExceptionPending()) return env.Undefined();
    const std::span<uint8_t> room(bytes.Data(), bytes.ByteLength());
    auto kept = std::make_shared<Napi::ObjectReference>(Napi::Persistent(bytes.As<Napi::Object>()));
    return start_job(
        env,
        [work, size, room](const std::atomic<bool>& abort) {
          aggregate::read_heads(work->paths, size, room, &work->lengths, abort);
          return Status::ok();
        },
        [work, kept](Napi::Env e) -> Napi::Value {
          Napi::Object result = Napi::Object::New(e);
          result.Set("bytes", kept->Value());
          result.Set("lengths", to_float64(e, work->lengths));
          return result;
        });
  });
}

}  // namespace

void init_aggregate_sums(Napi::Env env, Napi::Object exports) {
  exports.Set("addToGrid", Napi::Function::New(env, add_to_grid, "addToGrid"));
  exports.Set("addToGrids", Napi::Function::New(env, add_to_grids, "addToGrids"));
  exports.Set("gridValues", Napi::Function::New(env, grid_values, "gridValues"));
  exports.Set("mergeGrids", Napi::Function::New(env, merge_grids, "mergeGrids"));
  exports.Set("elementBound", Napi::Function::New(env, element_bound, "elementBound"));
  exports.Set("norms", Napi::Function::New(env, norms, "norms"));
  exports.Set("productGram", Napi::Function::New(env, product_gram, "productGram"));
  exports.Set("fileHeads", Napi::Function::New(env, file_heads, "fileHeads"));
  exports.Set("meanOfFiles", Napi::Function::New(env, mean_of_files, "meanOfFiles"));
  init_aggregate_dense(env, exports);
}

}  // namespace oneround::bind
