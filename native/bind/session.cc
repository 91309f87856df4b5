#include "bind/session.h"

#include <algorithm>
#include <new>

#include "bind/session_jobs.h"
#include "bind/session_options.h"
#include "bind/values.h"
#include "bind/weights.h"

namespace oneround::bind {

namespace {

Status out_of_memory() {
  return Status::error(Code::memory, "the session does not fit in memory", "Lower the batch, the cutoff or the rank.");
}

Napi::Value memory_budget(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  SessionOptions options;
  std::shared_ptr<const BaseWeights> base = read_weights(info[0]);
  if (base == nullptr || !read_session_options(info[1], &options)) return env.Undefined();
  MemoryBudget budget;
  if (Status s = Session::budget_of(std::move(base), std::move(options), &budget); !s.is_ok()) {
    throw_status(env, s);
    return env.Undefined();
  }
  return to_object(env, budget);
}

}  // namespace

namespace {
constexpr napi_type_tag kTag = {0x6f6e65726f756e64, 0x73657373696f6e01};
}  // namespace

SessionObject* SessionObject::unwrap(Napi::Object object) {
  bool tagged = false;
  if (napi_check_object_type_tag(object.Env(), object, &kTag, &tagged) != napi_ok || !tagged) return nullptr;
  return Napi::ObjectWrap<SessionObject>::Unwrap(object);
}

Napi::Function SessionObject::define(Napi::Env env) {
  return DefineClass(env, "Session",
                     {InstanceAccessor<&SessionObject::parameter_count>("parameterCount"),
                      InstanceAccessor<&SessionObject::budget>("budget"),
                      InstanceMethod<&SessionObject::parameters>("parameters"),
                      InstanceMethod<&SessionObject::set_parameters>("setParameters"),
                      InstanceMethod<&SessionObject::set_anchor>("setAnchor"),
                      InstanceMethod<&SessionObject::set_correction>("setCorrection"),
                      InstanceMethod<&SessionObject::add_parameters>("addParameters"),
                      InstanceMethod<&SessionObject::load_base>("loadBase"),
                      InstanceMethod<&SessionObject::optimizer_state>("optimizerState"),
                      InstanceMethod<&SessionObject::set_optimizer_state>("setOptimizerState"),
                      InstanceMethod<&SessionObject::reset_optimizer>("resetOptimizer"),
                      InstanceMethod<&SessionObject::step>("step"),
                      InstanceMethod<&SessionObject::gradient>("gradient"),
                      InstanceMethod<&SessionObject::evaluate>("evaluate"),
                      InstanceMethod<&SessionObject::add_inputs>("addInputs"),
                      InstanceMethod<&SessionObject::logits>("logits"),
                      InstanceMethod<&SessionObject::prefill>("prefill"),
                      InstanceMethod<&SessionObject::next>("next"),
                      InstanceMethod<&SessionObject::next_each>("nextEach"),
                      InstanceMethod<&SessionObject::profile>("profile"),
                      InstanceMethod<&SessionObject::abort>("abort"),
                      InstanceMethod<&SessionObject::close>("close")});
}

SessionObject::SessionObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SessionObject>(info) {
  if (napi_type_tag_object(info.Env(), info.This(), &kTag) != napi_ok) return;
  Status status;
  std::unique_ptr<Session> session;
  try {
    SessionObject* other = info[0].IsObject() ? unwrap(info[0].As<Napi::Object>()) : nullptr;
    if (other != nullptr) {
      // The other may be busy: only what never changes of it is read.
      status = other->session_ == nullptr
                   ? Status::error(Code::closed, "the session beside is closed", "Open a new one.")
                   : other->session_->beside(&session);
      shared_ = other->shared_;
    } else {
      SessionOptions options;
      std::shared_ptr<const BaseWeights> base = read_weights(info[0]);
      if (base == nullptr || !read_session_options(info[1], &options)) return;
      status = Session::create(std::move(base), std::move(options), &session);
      shared_ = std::make_shared<JobHandle>();
    }
  } catch (const std::bad_alloc&) {
    status = out_of_memory();
  }
  if (!status.is_ok()) {
    throw_status(info.Env(), status);
    return;
  }
  session_ = std::move(session);
}

SessionObject::~SessionObject() {
  job_.abort();
  job_.join();
}

bool SessionObject::ready(Napi::Env env) {
  if (session_ == nullptr) {
    throw_status(env, Status::error(Code::closed, "the session is closed", "Open a new one."));
    return false;
  }
  if (job_.running()) {
    throw_status(env, Status::error(Code::argument, "the session is busy", "Await its running job first."));
    return false;
  }
  return true;
}

bool SessionObject::free_to_start(Napi::Env env) {
  if (!ready(env)) return false;
  if (!shared_->running()) return true;
  throw_status(env, Status::error(Code::argument, "a session beside this one is busy", "Await its running job first."));
  return false;
}

Napi::Value SessionObject::launch(const Napi::CallbackInfo& info, std::unique_ptr<Job> job, Napi::Object owner) {
  if (owner.IsEmpty()) owner = info.This().As<Napi::Object>();
  const Napi::Value promise = JobThread::start(info.Env(), std::move(job), owner, &job_);
  *shared_ = job_;
  return promise;
}

Napi::Value SessionObject::parameter_count(const Napi::CallbackInfo& info) {
  if (!ready(info.Env())) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), static_cast<double>(session_->parameters().count()));
}

Napi::Value SessionObject::budget(const Napi::CallbackInfo& info) {
  if (!ready(info.Env())) return info.Env().Undefined();
  return to_object(info.Env(), session_->budget());
}

Napi::Value SessionObject::parameters(const Napi::CallbackInfo& info) {
  if (!ready(info.Env())) return info.Env().Undefined();
  const Parameters& p = session_->parameters();
  size_t first = 0, count = static_cast<size_t>(p.count());
  if (info.Length() > 0 &&
      (!read_size(info[0], "first", 0, count, &first) || !read_size(info[1], "count", 0, count - first, &count)))
    return info.Env().Undefined();
  return to_float32(info.Env(), {p.values() + first, count});
}

void SessionObject::copy_values(const Napi::CallbackInfo& info, float* to) {
  std::span<const float> values;
  if (!read_float32(info[0], "values", &values)) return;
  if (to == nullptr || static_cast<int64_t>(values.size()) != session_->parameters().count()) {
    refuse(info.Env(), "values", "a Float32Array of parameterCount numbers for a session opened with room for it");
    return;
  }
  std::copy(values.begin(), values.end(), to);
}

void SessionObject::set_parameters(const Napi::CallbackInfo& info) {
  if (ready(info.Env())) copy_values(info, session_->parameters().values());
}

void SessionObject::set_anchor(const Napi::CallbackInfo& info) {
  if (ready(info.Env())) copy_values(info, session_->anchor());
}

void SessionObject::set_correction(const Napi::CallbackInfo& info) {
  if (ready(info.Env())) copy_values(info, session_->correction());
}

void SessionObject::add_parameters(const Napi::CallbackInfo& info) {
  std::span<const float> values;
  size_t first;
  if (!ready(info.Env())) return;
  const Parameters& p = session_->parameters();
  const size_t count = static_cast<size_t>(p.count());
  if (!read_size(info[0], "first", 0, count, &first) || !read_float32(info[1], "values", &values)) return;
  if (values.size() > count - first) {
    refuse(info.Env(), "values", "numbers that end within the parameters");
    return;
  }
  float* to = p.values() + first;
  for (size_t i = 0; i < values.size(); i++) to[i] += values[i];
}

void SessionObject::load_base(const Napi::CallbackInfo& info) {
  if (ready(info.Env())) session_->load_base();
}

Napi::Value SessionObject::optimizer_state(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!ready(env)) return env.Undefined();
  const Parameters& p = session_->parameters();
  const size_t count = p.first_moment() == nullptr ? 0 : static_cast<size_t>(p.count());
  Napi::Object state = Napi::Object::New(env);
  state.Set("first", to_float32(env, {p.first_moment(), count}));
  state.Set("second", to_float32(env, {p.second_moment(), count}));
  state.Set("steps", static_cast<double>(p.steps));
  return state;
}

void SessionObject::set_optimizer_state(const Napi::CallbackInfo& info) {
  Napi::Object state;
  std::span<const float> first, second;
  size_t steps;
  if (!ready(info.Env()) || !read_object(info[0], "state", &state) ||
      !read_float32(state.Get("first"), "state.first", &first) ||
      !read_float32(state.Get("second"), "state.second", &second) ||
      !read_size(state.Get("steps"), "state.steps", 0, size_t{1} << 52, &steps))
    return;
  Parameters& p = session_->parameters();
  const size_t count = p.first_moment() == nullptr ? 0 : static_cast<size_t>(p.count());
  if (first.size() != count || second.size() != count || count == 0) {
    refuse(info.Env(), "state", "the moments of a training session with as many parameters");
    return;
  }
  std::copy(first.begin(), first.end(), p.first_moment());
  std::copy(second.begin(), second.end(), p.second_moment());
  p.steps = static_cast<int64_t>(steps);
}

void SessionObject::reset_optimizer(const Napi::CallbackInfo& info) {
  if (!ready(info.Env())) return;
  Parameters& p = session_->parameters();
  for (float* moment : {p.first_moment(), p.second_moment()})
    if (moment != nullptr) std::fill_n(moment, p.count(), 0.0f);
  p.steps = 0;
}

template <class Make>
Napi::Value SessionObject::start(const Napi::CallbackInfo& info, const Make& make, Napi::Object owner) {
  const Napi::Env env = info.Env();
  Batch batch;
  if (!free_to_start(env) || !read_batch(info[0], &batch)) return env.Undefined();
  if (Status s = session_->check(batch); !s.is_ok()) {
    throw_status(env, s);
    return env.Undefined();
  }
  std::unique_ptr<Job> job;
  try {
    job = make(std::move(batch));
  } catch (const std::bad_alloc&) {
    throw_status(env, out_of_memory());
  }
  if (job == nullptr) return env.Undefined();
  return launch(info, std::move(job), owner);
}

Napi::Value SessionObject::step(const Napi::CallbackInfo& info) {
  StepOptions options;
  if (!read_step_options(info[1], &options)) return info.Env().Undefined();
  return start(info, [&](Batch batch) { return std::make_unique<StepJob>(session_, std::move(batch), options); });
}

Napi::Value SessionObject::gradient(const Napi::CallbackInfo& info) {
  size_t seed;
  if (!read_size(info[1], "seed", 0, 0xffffffffu, &seed)) return info.Env().Undefined();
  return start(info, [&](Batch batch) {
    return std::make_unique<GradientJob>(session_, std::move(batch), static_cast<uint32_t>(seed));
  });
}

Napi::Value SessionObject::evaluate(const Napi::CallbackInfo& info) {
  return start(info, [&](Batch batch) { return std::make_unique<EvaluateJob>(session_, std::move(batch)); });
}

// (batch, sums): adds in place to the caller's arrays, which src/train hands nobody else meanwhile.
Napi::Value SessionObject::add_inputs(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array list;
  if (!ready(env) || !read_array(info[1], "sums", &list)) return env.Undefined();
  std::vector<float*> sums;
  std::vector<size_t> sizes;
  Napi::Array owner = Napi::Array::New(env);
  owner.Set(list.Length(), info.This());
  for (uint32_t i = 0; i < list.Length(); i++) {
    std::span<const float> sum;
    const Napi::Value value = list.Get(i);
    if (!value.IsUndefined() && !read_float32(value, "sums[" + std::to_string(i) + "]", &sum)) return env.Undefined();
    sums.push_back(const_cast<float*>(sum.data()));
    sizes.push_back(sum.size());
    owner.Set(i, value);
  }
  if (Status s = session_->check_inputs(sums, sizes); !s.is_ok()) {
    throw_status(env, s);
    return env.Undefined();
  }
  return start(
      info,
      [&](Batch batch) { return std::make_unique<InputsJob>(session_, std::move(batch), std::move(sums)); }, owner);
}

Napi::Value SessionObject::logits(const Napi::CallbackInfo& info) {
  return start(info, [&](Batch batch) { return std::make_unique<LogitsJob>(session_, std::move(batch)); });
}

Napi::Value SessionObject::generate(const Napi::CallbackInfo& info, const Status& checked, std::unique_ptr<Job> job) {
  if (!checked.is_ok()) {
    throw_status(info.Env(), checked);
    return info.Env().Undefined();
  }
  return launch(info, std::move(job));
}

Napi::Value SessionObject::prefill(const Napi::CallbackInfo& info) {
  std::span<const int32_t> ids;
  size_t sequence = 0;
  if (!free_to_start(info.Env()) || !read_int32(info[0], "ids", &ids) ||
      (!info[1].IsUndefined() && !read_size(info[1], "sequence", 0, 255, &sequence)))
    return info.Env().Undefined();
  const int32_t at = static_cast<int32_t>(sequence);
  return generate(info, session_->check_prompt(ids, at),
                  std::make_unique<PrefillJob>(session_, std::vector<int32_t>(ids.begin(), ids.end()), at));
}

Napi::Value SessionObject::next(const Napi::CallbackInfo& info) {
  size_t id;
  if (!free_to_start(info.Env()) || !read_size(info[0], "id", 0, 0x7fffffff, &id)) return info.Env().Undefined();
  const std::vector<int32_t> ids{static_cast<int32_t>(id)}, sequences{0};
  return generate(info, session_->check_next(ids, sequences), std::make_unique<NextJob>(session_, ids, sequences));
}

Napi::Value SessionObject::next_each(const Napi::CallbackInfo& info) {
  std::span<const int32_t> ids, sequences;
  if (!free_to_start(info.Env()) || !read_int32(info[0], "ids", &ids) || !read_int32(info[1], "sequences", &sequences))
    return info.Env().Undefined();
  return generate(info, session_->check_next(ids, sequences),
                  std::make_unique<NextJob>(session_, std::vector<int32_t>(ids.begin(), ids.end()),
                                            std::vector<int32_t>(sequences.begin(), sequences.end())));
}

Napi::Value SessionObject::profile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!ready(env)) return env.Undefined();
  Napi::Array list = Napi::Array::New(env);
  for (const OperationProfile& operation : session_->take_profile()) {
    Napi::Object row = Napi::Object::New(env);
    row.Set("operation", operation.name);
    row.Set("calls", static_cast<double>(operation.calls));
    row.Set("seconds", operation.seconds);
    row.Set("flop", operation.flop);
    row.Set("bytes", operation.bytes);
    list.Set(list.Length(), row);
  }
  return list;
}

void SessionObject::abort(const Napi::CallbackInfo&) { job_.abort(); }

void SessionObject::close(const Napi::CallbackInfo&) {
  job_.abort();
  job_.join();
  session_.reset();
}

// (sessions, batches, options): one each
Napi::Value step_together(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array sessions, batches, options;
  if (!read_array(info[0], "sessions", &sessions) || !read_array(info[1], "batches", &batches) ||
      !read_array(info[2], "options", &options))
    return env.Undefined();
  if (batches.Length() != sessions.Length() || options.Length() != sessions.Length()) {
    refuse(env, "batches", "a list of one batch a session, with as many options");
    return env.Undefined();
  }
  auto job = std::make_unique<StepTogetherJob>();
  std::vector<SessionObject*> objects;
  for (uint32_t i = 0; i < sessions.Length(); i++) {
    const Napi::Value value = sessions.Get(i);
    SessionObject* object = value.IsObject() ? SessionObject::unwrap(value.As<Napi::Object>()) : nullptr;
    if (object == nullptr) {
      refuse(env, "sessions[" + std::to_string(i) + "]", "a Session object");
      return env.Undefined();
    }
    auto batch = std::make_unique<Batch>();
    StepOptions step;
    if (!object->free_to_start(env) || !read_batch(batches.Get(i), batch.get()) ||
        !read_step_options(options.Get(i), &step))
      return env.Undefined();
    job->add(object->session_, std::move(batch), step);
    objects.push_back(object);
  }
  if (Status s = job->check(); !s.is_ok()) {
    throw_status(env, s);
    return env.Undefined();
  }
  JobHandle handle;
  // The list keeps the sessions from collection until the job is settled.
  const Napi::Value promise = JobThread::start(env, std::move(job), sessions, &handle);
  for (SessionObject* object : objects) object->job_ = handle;
  *objects[0]->shared_ = handle;
  return promise;
}

void init_session(Napi::Env env, Napi::Object exports) {
  exports.Set("Session", SessionObject::define(env));
  exports.Set("stepTogether", Napi::Function::New(env, step_together, "stepTogether"));
  exports.Set("memoryBudget", Napi::Function::New(env, memory_budget, "memoryBudget"));
}

}  // namespace oneround::bind
