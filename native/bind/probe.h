// The class Probe, probeBudget and squaredNorms of src/native/binding/.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>

#include "bind/job.h"
#include "measure/probe.h"

namespace oneround::bind {

class ProbeObject : public Napi::ObjectWrap<ProbeObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ProbeObject(const Napi::CallbackInfo& info);
  ~ProbeObject() override;

 private:
  Napi::Value place(const Napi::CallbackInfo& info);
  Napi::Value gradient(const Napi::CallbackInfo& info);
  Napi::Value keep(const Napi::CallbackInfo& info);
  Napi::Value step_random(const Napi::CallbackInfo& info);
  Napi::Value step_along_change(const Napi::CallbackInfo& info);
  Napi::Value compare(const Napi::CallbackInfo& info);
  void abort(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  // False after throwing CLOSED, or ARGUMENT while a job runs.
  bool ready(Napi::Env env);
  Napi::Value start(const Napi::CallbackInfo& info, std::unique_ptr<Job> job);

  std::shared_ptr<Probe> probe_;
  JobHandle job_;
};

void init_probe(Napi::Env env, Napi::Object exports);

}  // namespace oneround::bind
