// Reading layers' factors from JavaScript, and jobs that keep their own copies of them.
#pragma once

#include <napi.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "aggregate/factorize.h"
#include "bind/job.h"
#include "bind/values.h"
#include "engine/scratch.h"

namespace oneround::bind {

// Far above any model; they keep every product of two sizes inside 64 bits.
inline constexpr size_t kMostFeatures = size_t{1} << 24;
inline constexpr size_t kMostRank = size_t{1} << 16;
inline constexpr size_t kMostPairs = size_t{1} << 20;

struct LayerShape {
  size_t in = 0;
  size_t out = 0;
};

inline bool read_shape(Napi::Value in, Napi::Value out, LayerShape* shape) {
  return read_size(in, "inDim", 1, kMostFeatures, &shape->in) &&
         read_size(out, "outDim", 1, kMostFeatures, &shape->out);
}

// Views into the caller's arrays; their sizes are checked by aggregate::check_factors.
inline bool read_pair(Napi::Value value, const std::string& name, Napi::Object* pair, aggregate::Factors* f) {
  return read_object(value, name, pair) && read_size(pair->Get("rank"), name + ".rank", 1, kMostRank, &f->rank) &&
         read_double(pair->Get("weight"), name + ".weight", &f->weight) &&
         read_float32(pair->Get("a"), name + ".a", &f->a) && read_float32(pair->Get("b"), name + ".b", &f->b);
}

inline bool read_factors(Napi::Value value, std::vector<aggregate::Factors>* factors) {
  Napi::Array list;
  if (!read_array(value, "pairs", &list)) return false;
  if (list.Length() > kMostPairs) return refuse(value.Env(), "pairs", "a list of at most 1048576 pairs");
  for (uint32_t i = 0; i < list.Length(); ++i) {
    Napi::Object pair;
    aggregate::Factors f;
    if (!read_pair(list.Get(i), "pairs[" + std::to_string(i) + "]", &pair, &f)) return false;
    factors->push_back(f);
  }
  return true;
}

// Copies of arrays: JavaScript may change or detach its own while a job runs. Those of one call lie in one block.
class Copies {
 public:
  void keep(std::vector<aggregate::Factors>* factors) {
    size_t total = 0;
    for (const aggregate::Factors& f : *factors) total += f.a.size() + f.b.size();
    float* at = make_block(total);
    for (aggregate::Factors& f : *factors) {
      f.a = copy(f.a, &at);
      f.b = copy(f.b, &at);
    }
  }
  std::span<const float> keep(std::span<const float> values) {
    float* at = make_block(values.size());
    return copy(values, &at);
  }

 private:
  float* make_block(size_t count) {
    blocks_.emplace_back(count);
    return blocks_.back().data();
  }
  static std::span<const float> copy(std::span<const float> values, float** at) {
    const std::span<const float> kept(*at, values.size());
    *at = std::copy(values.begin(), values.end(), *at);
    return kept;
  }

  std::vector<Scratch<float>> blocks_;  // a vector that moves keeps its numbers where they are
};

// A job from two functions: run(abort) and result(env), which share what they have captured.
template <class Run, class Result>
class FunctionJob : public Job {
 public:
  FunctionJob(Run run, Result result) : run_(std::move(run)), result_(std::move(result)) {}
  Status run(const std::atomic<bool>& abort) override { return run_(abort); }
  Napi::Value result(Napi::Env env) override { return result_(env); }

 private:
  Run run_;
  Result result_;
};

template <class Run, class Result>
Napi::Value start_job(Napi::Env env, Run run, Result result, Napi::Object owner = Napi::Object()) {
  return JobThread::start(env, std::make_unique<FunctionJob<Run, Result>>(std::move(run), std::move(result)), owner);
}

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

inline bool check_size(Napi::Env env, const std::string& name, size_t found, const LayerShape& shape) {
  return found == shape.in * shape.out || refuse(env, name, std::to_string(shape.in * shape.out) + " numbers");
}

}  // namespace oneround::bind
