#include "bind/probe.h"

#include <new>
#include <utility>
#include <vector>

#include "bind/session_options.h"
#include "bind/values.h"
#include "bind/weights.h"

namespace oneround::bind {

namespace {

using Run = std::function<Status(const std::atomic<bool>&)>;
using Result = std::function<Napi::Value(Napi::Env)>;

// A job of two closures; whatever they share, they own.
class ClosureJob final : public Job {
 public:
  ClosureJob(Run run, Result result) : run_(std::move(run)), result_(std::move(result)) {}
  Status run(const std::atomic<bool>& abort) override { return run_(abort); }
  Napi::Value result(Napi::Env env) override { return result_ ? result_(env) : env.Undefined(); }

 private:
  Run run_;
  Result result_;
};

Status out_of_memory() {
  return Status::error(Code::memory, "the probe does not fit in memory", "Look at fewer layers or shorter examples.");
}

bool read_names(Napi::Value value, const std::string& name, std::vector<std::string>* out) {
  Napi::Array list;
  if (!read_array(value, name, &list)) return false;
  out->resize(list.Length());
  for (uint32_t i = 0; i < list.Length(); i++)
    if (!read_string(list.Get(i), name + "[" + std::to_string(i) + "]", &(*out)[i])) return false;
  return true;
}

bool read_options(Napi::Value value, ProbeOptions* out) {
  Napi::Object object;
  size_t threads, rows, longest;
  if (!read_object(value, "options", &object) || !read_names(object.Get("tensors"), "tensors", &out->tensors) ||
      !read_size(object.Get("threads"), "threads", 1, 256, &threads) ||
      !read_size(object.Get("rowsPerPass"), "rowsPerPass", 1, 1 << 20, &rows) ||
      !read_size(object.Get("longestExample"), "longestExample", 1, 1 << 20, &longest))
    return false;
  out->threads = static_cast<int>(threads);
  out->rows_per_pass = static_cast<int64_t>(rows);
  out->longest_example = static_cast<int64_t>(longest);
  return true;
}

bool read_term(Napi::Value value, const std::string& name, PointTerm* out) {
  Napi::Object object;
  size_t rank;
  std::span<const float> a, b;
  if (!read_object(value, name, &object) || !read_string(object.Get("tensor"), name + ".tensor", &out->tensor) ||
      !read_size(object.Get("rank"), name + ".rank", 0, 1 << 16, &rank) ||
      !read_double(object.Get("weight"), name + ".weight", &out->weight) ||
      !read_float32(object.Get("a"), name + ".a", &a) || !read_float32(object.Get("b"), name + ".b", &b))
    return false;
  out->rank = static_cast<int64_t>(rank);
  out->a.assign(a.begin(), a.end());
  out->b.assign(b.begin(), b.end());
  return true;
}

// 8 numbers a tensor, in the order of TensorComparison.
std::vector<double> flat(const std::vector<TensorComparison>& tensors) {
  std::vector<double> out;
  for (const TensorComparison& t : tensors)
    out.insert(out.end(), {t.point, t.step, t.gradient, t.kept_gradient, t.product, t.change, t.slope, t.bend});
  return out;
}

Napi::Value probe_budget(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  ProbeOptions options;
  MemoryBudget budget;
  std::shared_ptr<const BaseWeights> base = read_weights(info[0]);
  if (base == nullptr || !read_options(info[1], &options)) return env.Undefined();
  if (Status s = Probe::budget_of(std::move(base), std::move(options), &budget); !s.is_ok()) {
    throw_status(env, s);
    return env.Undefined();
  }
  return to_object(env, budget);
}

Napi::Value squared_norms_job(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::vector<std::string> names;
  std::shared_ptr<const BaseWeights> base = read_weights(info[0]);
  if (base == nullptr || !read_names(info[1], "tensors", &names)) return env.Undefined();
  auto sums = std::make_shared<std::vector<double>>();
  return JobThread::start(env, std::make_unique<ClosureJob>(
                                   [base, names = std::move(names), sums](const std::atomic<bool>& abort) {
                                     return squared_norms(*base, names, abort, sums.get());
                                   },
                                   [sums](Napi::Env e) { return Napi::Value(to_float64(e, *sums)); }));
}

}  // namespace

Napi::Function ProbeObject::define(Napi::Env env) {
  return DefineClass(
      env, "Probe",
      {InstanceMethod<&ProbeObject::place>("place"), InstanceMethod<&ProbeObject::gradient>("gradient"),
       InstanceMethod<&ProbeObject::keep>("keep"), InstanceMethod<&ProbeObject::step_random>("stepRandom"),
       InstanceMethod<&ProbeObject::step_along_change>("stepAlongChange"),
       InstanceMethod<&ProbeObject::compare>("compare"), InstanceMethod<&ProbeObject::abort>("abort"),
       InstanceMethod<&ProbeObject::close>("close")});
}

ProbeObject::ProbeObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProbeObject>(info) {
  ProbeOptions options;
  std::shared_ptr<const BaseWeights> base = read_weights(info[0]);
  if (base == nullptr || !read_options(info[1], &options)) return;
  Status status;
  std::unique_ptr<Probe> probe;
  try {
    status = Probe::create(std::move(base), std::move(options), &probe);
  } catch (const std::bad_alloc&) {
    status = out_of_memory();
  }
  if (!status.is_ok()) {
    throw_status(info.Env(), status);
    return;
  }
  probe_ = std::move(probe);
}

ProbeObject::~ProbeObject() {
  job_.abort();
  job_.join();
}

bool ProbeObject::ready(Napi::Env env) {
  if (probe_ == nullptr) {
    throw_status(env, Status::error(Code::closed, "the probe is closed", "Open a new one."));
    return false;
  }
  if (job_.running()) {
    throw_status(env, Status::error(Code::argument, "the probe is busy", "Await its running job first."));
    return false;
  }
  return true;
}

Napi::Value ProbeObject::start(const Napi::CallbackInfo& info, std::unique_ptr<Job> job) {
  return JobThread::start(info.Env(), std::move(job), info.This().As<Napi::Object>(), &job_);
}

Napi::Value ProbeObject::place(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array list;
  if (!ready(env) || !read_array(info[0], "terms", &list)) return env.Undefined();
  auto terms = std::make_shared<std::vector<PointTerm>>();
  try {
    terms->resize(list.Length());
    for (uint32_t i = 0; i < list.Length(); i++)
      if (!read_term(list.Get(i), "terms[" + std::to_string(i) + "]", &(*terms)[i])) return env.Undefined();
  } catch (const std::bad_alloc&) {
    throw_status(env, out_of_memory());
    return env.Undefined();
  }
  if (Status s = probe_->check(*terms); !s.is_ok()) {
    throw_status(env, s);
    return env.Undefined();
  }
  return start(
      info,
      std::make_unique<ClosureJob>(
          [probe = probe_, terms](const std::atomic<bool>& abort) { return probe->place(*terms, abort); }, Result()));
}

Napi::Value ProbeObject::gradient(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto batch = std::make_shared<Batch>();
  if (!ready(env) || !read_batch(info[0], batch.get())) return env.Undefined();
  if (Status s = probe_->check(*batch); !s.is_ok()) {
    throw_status(env, s);
    return env.Undefined();
  }
  auto result = std::make_shared<StepResult>();
  return start(info, std::make_unique<ClosureJob>(
                         [probe = probe_, batch, result](const std::atomic<bool>& abort) {
                           return probe->gradient(*batch, abort, result.get());
                         },
                         [result](Napi::Env e) { return Napi::Value(to_object(e, *result)); }));
}

Napi::Value ProbeObject::keep(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  double weight = 0;
  bool add = false;
  if (!ready(env) || !read_double(info[0], "weight", &weight) || !read_bool(info[1], "add", &add))
    return env.Undefined();
  return start(info, std::make_unique<ClosureJob>(
                         [probe = probe_, weight, add](const std::atomic<bool>&) {
                           probe->keep(weight, add);
                           return Status::ok();
                         },
                         Result()));
}

Napi::Value ProbeObject::step_random(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  size_t seed, draw;
  double length;
  if (!ready(env) || !read_size(info[0], "seed", 0, 0xffffffffu, &seed) ||
      !read_size(info[1], "draw", 0, 0xffff, &draw) || !read_double(info[2], "length", &length))
    return env.Undefined();
  return start(info, std::make_unique<ClosureJob>(
                         [probe = probe_, seed, draw, length](const std::atomic<bool>&) {
                           probe->step_random(static_cast<uint32_t>(seed), static_cast<uint32_t>(draw), length);
                           return Status::ok();
                         },
                         Result()));
}

Napi::Value ProbeObject::step_along_change(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  double length;
  if (!ready(env) || !read_double(info[0], "length", &length)) return env.Undefined();
  return start(
      info,
      std::make_unique<ClosureJob>(
          [probe = probe_, length](const std::atomic<bool>&) { return probe->step_along_change(length); }, Result()));
}

Napi::Value ProbeObject::compare(const Napi::CallbackInfo& info) {
  if (!ready(info.Env())) return info.Env().Undefined();
  auto numbers = std::make_shared<std::vector<double>>();
  return start(info, std::make_unique<ClosureJob>(
                         [probe = probe_, numbers](const std::atomic<bool>&) {
                           *numbers = flat(probe->compare());
                           return Status::ok();
                         },
                         [numbers](Napi::Env e) { return Napi::Value(to_float64(e, *numbers)); }));
}

void ProbeObject::abort(const Napi::CallbackInfo&) { job_.abort(); }

void ProbeObject::close(const Napi::CallbackInfo&) {
  job_.abort();
  job_.join();
  probe_.reset();
}

void init_probe(Napi::Env env, Napi::Object exports) {
  exports.Set("Probe", ProbeObject::define(env));
  exports.Set("probeBudget", Napi::Function::New(env, probe_budget, "probeBudget"));
  exports.Set("squaredNorms", Napi::Function::New(env, squared_norms_job, "squaredNorms"));
}

}  // namespace oneround::bind
