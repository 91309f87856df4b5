// Passes of a session as jobs: steps, alone or of several sessions together, gradients, losses, logits, next tokens.
#include <new>

#include "bind/session.h"
#include "bind/session_jobs.h"
#include "bind/session_options.h"
#include "bind/values.h"

namespace oneround::bind {

template <class Make>
Napi::Value SessionObject::start(const Napi::CallbackInfo& info, const Make& make) {
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
  return launch(info, std::move(job));
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

}  // namespace oneround::bind
