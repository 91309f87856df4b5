// The class Session and memoryBudget of src/native/binding/.
#pragma once

#include <napi.h>

#include <memory>

#include "bind/job.h"
#include "train/session.h"

namespace oneround::bind {

class SessionObject : public Napi::ObjectWrap<SessionObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // Null where the object is something else.
  static SessionObject* unwrap(Napi::Object object);
  // (weights, options), or (session): beside that one.
  explicit SessionObject(const Napi::CallbackInfo& info);
  ~SessionObject() override;

 private:
  friend Napi::Value step_together(const Napi::CallbackInfo& info);

  Napi::Value parameter_count(const Napi::CallbackInfo& info);
  Napi::Value budget(const Napi::CallbackInfo& info);
  Napi::Value parameters(const Napi::CallbackInfo& info);
  void set_parameters(const Napi::CallbackInfo& info);
  void set_anchor(const Napi::CallbackInfo& info);
  void set_correction(const Napi::CallbackInfo& info);
  void add_parameters(const Napi::CallbackInfo& info);
  void load_base(const Napi::CallbackInfo& info);
  Napi::Value optimizer_state(const Napi::CallbackInfo& info);
  void set_optimizer_state(const Napi::CallbackInfo& info);
  void reset_optimizer(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value gradient(const Napi::CallbackInfo& info);
  Napi::Value evaluate(const Napi::CallbackInfo& info);
  Napi::Value profile(const Napi::CallbackInfo& info);
  Napi::Value logits(const Napi::CallbackInfo& info);
  Napi::Value prefill(const Napi::CallbackInfo& info);
  Napi::Value next(const Napi::CallbackInfo& info);
  Napi::Value next_each(const Napi::CallbackInfo& info);
  void abort(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  // Copies info[0] to `to`; refuses another length, and a session that was opened without it (null).
  void copy_values(const Napi::CallbackInfo& info, float* to);
  // False after throwing CLOSED, or ARGUMENT while a job of this session runs.
  bool ready(Napi::Env env);
  // The same, and while one of a session beside it runs.
  bool free_to_start(Napi::Env env);
  // Starts a job of this session alone.
  Napi::Value launch(const Napi::CallbackInfo& info, std::unique_ptr<Job> job);
  // Starts a job of generation, or throws what its check found.
  Napi::Value generate(const Napi::CallbackInfo& info, const Status& checked, std::unique_ptr<Job> job);
  // Reads and checks the batch, then starts the job that `make` builds around it.
  template <class Make>
  Napi::Value start(const Napi::CallbackInfo& info, const Make& make);

  std::shared_ptr<Session> session_;
  JobHandle job_;                      // the last one that this session has a part in
  std::shared_ptr<JobHandle> shared_;  // the last one of all sessions beside each other
};

Status out_of_memory();
// (sessions, batches, options), one each: a step of all of them.
Napi::Value step_together(const Napi::CallbackInfo& info);
void init_session(Napi::Env env, Napi::Object exports);

}  // namespace oneround::bind
