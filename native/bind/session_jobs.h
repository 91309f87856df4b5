// What a Session object can be asked to do, each as a job on its own thread. A job holds a share of the session, which
// therefore outlives it; results are copied into the job before it ends.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "bind/job.h"
#include "bind/session_options.h"
#include "bind/values.h"
#include "train/session.h"

namespace oneround::bind {

// A job around one batch. The session outlives it: the job holds a share.
class BatchJob : public Job {
 public:
  BatchJob(std::shared_ptr<Session> session, Batch batch) : session_(std::move(session)), batch_(std::move(batch)) {}

 protected:
  std::shared_ptr<Session> session_;
  Batch batch_;
};

class StepJob final : public BatchJob {
 public:
  StepJob(std::shared_ptr<Session> session, Batch batch, StepOptions options)
      : BatchJob(std::move(session), std::move(batch)), options_(options) {}
  Status run(const std::atomic<bool>& abort) override { return session_->step(batch_, options_, abort, &result_); }
  Napi::Value result(Napi::Env env) override { return to_object(env, result_); }

 private:
  StepOptions options_;
  StepResult result_;
};

// A step of several sessions beside each other.
class StepTogetherJob final : public Job {
 public:
  void add(std::shared_ptr<Session> session, std::unique_ptr<Batch> batch, StepOptions options) {
    steps_.push_back({session.get(), batch.get(), options, {}});
    sessions_.push_back(std::move(session));
    batches_.push_back(std::move(batch));
  }
  Status check() const { return Session::check_together(steps_); }
  Status run(const std::atomic<bool>& abort) override { return Session::step_together(steps_, abort); }
  Napi::Value result(Napi::Env env) override {
    Napi::Array list = Napi::Array::New(env, steps_.size());
    for (size_t i = 0; i < steps_.size(); i++) list.Set(static_cast<uint32_t>(i), to_object(env, steps_[i].result));
    return list;
  }

 private:
  std::vector<SessionStep> steps_;
  std::vector<std::shared_ptr<Session>> sessions_;
  std::vector<std::unique_ptr<Batch>> batches_;
};

class GradientJob final : public BatchJob {
 public:
  GradientJob(std::shared_ptr<Session> session, Batch batch, uint32_t seed)
      : BatchJob(std::move(session), std::move(batch)), seed_(seed) {}
  Status run(const std::atomic<bool>& abort) override {
    const Status status = session_->gradient(batch_, seed_, abort, &result_);
    const Parameters& parameters = session_->parameters();
    if (status.is_ok()) gradient_.assign(parameters.gradient(), parameters.gradient() + parameters.count());
    return status;
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object object = to_object(env, result_);
    object.Set("gradient", to_float32(env, gradient_));
    return object;
  }

 private:
  uint32_t seed_;
  StepResult result_;
  std::vector<float> gradient_;
};

class EvaluateJob final : public BatchJob {
 public:
  using BatchJob::BatchJob;
  Status run(const std::atomic<bool>& abort) override { return session_->evaluate(batch_, abort, &losses_, &tokens_); }
  Napi::Value result(Napi::Env env) override {
    Napi::Object object = Napi::Object::New(env);
    object.Set("losses", to_float64(env, losses_));
    object.Set("tokens", to_int32(env, tokens_));
    return object;
  }

 private:
  std::vector<double> losses_;
  std::vector<int32_t> tokens_;
};

// The sums are the caller's, who keeps them until the job is settled.
class InputsJob final : public BatchJob {
 public:
  InputsJob(std::shared_ptr<Session> session, Batch batch, std::vector<float*> sums)
      : BatchJob(std::move(session), std::move(batch)), sums_(std::move(sums)) {}
  Status run(const std::atomic<bool>& abort) override { return session_->inputs(batch_, sums_, abort); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::vector<float*> sums_;
};

class LogitsJob final : public BatchJob {
 public:
  using BatchJob::BatchJob;
  Status run(const std::atomic<bool>& abort) override { return session_->logits(batch_, abort, &logits_); }
  Napi::Value result(Napi::Env env) override { return to_float32(env, logits_); }

 private:
  std::vector<float> logits_;
};

class PrefillJob final : public Job {
 public:
  PrefillJob(std::shared_ptr<Session> session, std::vector<int32_t> ids, int32_t sequence)
      : session_(std::move(session)), ids_(std::move(ids)), sequence_(sequence) {}
  Status run(const std::atomic<bool>& abort) override { return session_->prefill(ids_, sequence_, abort, &logits_); }
  Napi::Value result(Napi::Env env) override { return to_float32(env, logits_); }

 private:
  std::shared_ptr<Session> session_;
  std::vector<int32_t> ids_;
  int32_t sequence_;
  std::vector<float> logits_;
};

class NextJob final : public Job {
 public:
  NextJob(std::shared_ptr<Session> session, std::vector<int32_t> ids, std::vector<int32_t> sequences)
      : session_(std::move(session)), ids_(std::move(ids)), sequences_(std::move(sequences)) {}
  Status run(const std::atomic<bool>& abort) override { return session_->next(ids_, sequences_, abort, &logits_); }
  Napi::Value result(Napi::Env env) override { return to_float32(env, logits_); }

 private:
  std::shared_ptr<Session> session_;
  std::vector<int32_t> ids_, sequences_;
  std::vector<float> logits_;
};

}  // namespace oneround::bind
