#include "bind/session.h"

#include <new>

#include "bind/session_options.h"
#include "bind/values.h"
#include "bind/weights.h"

namespace oneround::bind {

Status out_of_memory() {
  return Status::error(Code::memory, "the session does not fit in memory", "Lower the batch, the cutoff or the rank.");
}

namespace {

constexpr napi_type_tag kTag = {0x6f6e65726f756e64, 0x73657373696f6e01};

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

Napi::Value SessionObject::launch(const Napi::CallbackInfo& info, std::unique_ptr<Job> job) {
  const Napi::Value promise = JobThread::start(info.Env(), std::move(job), info.This().As<Napi::Object>(), &job_);
  *shared_ = job_;
  return promise;
}

Napi::Value SessionObject::budget(const Napi::CallbackInfo& info) {
  if (!ready(info.Env())) return info.Env().Undefined();
  return to_object(info.Env(), session_->budget());
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

void init_session(Napi::Env env, Napi::Object exports) {
  exports.Set("Session", SessionObject::define(env));
  exports.Set("stepTogether", Napi::Function::New(env, step_together, "stepTogether"));
  exports.Set("memoryBudget", Napi::Function::New(env, memory_budget, "memoryBudget"));
}

}  // namespace oneround::bind
