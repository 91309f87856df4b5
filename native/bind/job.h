// A long job: one std::thread and one thread-safe function, settling one promise.
//
// Life of a job, in order:
//   start()    on the JavaScript thread: promise, thread-safe function, cleanup hook, thread
//   run()      on the job's own thread; everything it throws becomes a Status
//   settle     on the JavaScript thread, only while the environment lives
//   finish     the thread is joined, never detached (a detached one aborts Node 20 at exit, nodejs/node#55706)
// At process.exit() or worker.terminate() the cleanup hook asks every job of the environment to stop and joins;
// no JavaScript is called and the promise stays pending. Hooks run last in, first out, and the job's is registered
// after its thread-safe function's and after every wrapped class, so run() never outlives anything that it uses.
#pragma once

#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "bind/values.h"
#include "engine/status.h"

namespace oneround::bind {

// What a job does. run() may touch only what the job owns or what its owner guarantees until join();
// result() runs on the JavaScript thread after a successful run(), possibly after the owner was closed, so it must
// read nothing but the job's own members.
class Job {
 public:
  virtual ~Job() = default;
  // Polls `abort` at least every 100 ms of work and then returns Code::aborted.
  virtual Status run(const std::atomic<bool>& abort) = 0;
  virtual Napi::Value result(Napi::Env env) = 0;
};

class JobThread;

// A running or ended job as its owner sees it. Both calls may come from any thread and after the end.
class JobHandle {
 public:
  JobHandle() = default;
  explicit JobHandle(std::shared_ptr<JobThread> thread) : thread_(std::move(thread)) {}
  // Asks run() to end.
  void abort() const;
  // Waits until run() has returned. Safe on the JavaScript thread: run() never waits for JavaScript.
  void join() const;
  // True from start() until run() has returned.
  bool running() const;
  explicit operator bool() const { return thread_ != nullptr; }

 private:
  std::shared_ptr<JobThread> thread_;
};

class JobThread {
 public:
  // Starts `job` and returns its promise. `owner` (may be empty) is kept from collection until the job is settled.
  // `handle`, where given, is set before the thread runs. Never throws into JavaScript: what goes wrong here rejects
  // the promise.
  static Napi::Value start(Napi::Env env, std::unique_ptr<Job> job, Napi::Object owner = Napi::Object(),
                           JobHandle* handle = nullptr) {
    napi_deferred deferred = nullptr;
    napi_value promise = nullptr;
    if (napi_create_promise(env, &deferred, &promise) != napi_ok) return Napi::Value();
    auto state = std::make_shared<JobThread>(Key{}, std::move(job), deferred);
    if (!owner.IsEmpty() && napi_create_reference(env, owner, 1, &state->owner_) != napi_ok) state->owner_ = nullptr;

    napi_value name = nullptr;
    auto* context = new std::shared_ptr<JobThread>(state);
    if (napi_create_string_utf8(env, "oneround job", NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, context, finish, context, settle,
                                        &state->function_) != napi_ok) {
      delete context;
      state->release_owner(env);
      reject(env, deferred, Status::error(Code::memory, "the job could not be registered", "Close other sessions."));
      return Napi::Value(env, promise);
    }
    state->environment_ = env;
    live().add(state.get());
    napi_add_env_cleanup_hook(env, cleanup, state.get());
    state->hooked_ = true;
    if (handle != nullptr) *handle = JobHandle(state);
    state->launch();
    return Napi::Value(env, promise);
  }

  void abort() { abort_.store(true, std::memory_order_relaxed); }

  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    ended_.wait(lock, [this] { return done_; });
  }

  bool running() {
    std::lock_guard<std::mutex> lock(mutex_);
    return !done_;
  }

  // Key makes the constructor private to start() although std::make_shared calls it.
  struct Key {};
  JobThread(Key, std::unique_ptr<Job> job, napi_deferred deferred) : job_(std::move(job)), deferred_(deferred) {}
  JobThread(const JobThread&) = delete;
  JobThread& operator=(const JobThread&) = delete;

 private:
  // All jobs of the process whose thread may be alive, so that the first cleanup hook of an environment stops all of
  // its jobs before it waits for one. Never destroyed: hooks of the main environment run after static destructors
  // would be allowed to.
  class Live {
   public:
    void add(JobThread* job) {
      std::lock_guard<std::mutex> lock(mutex_);
      jobs_.insert(job);
    }
    void remove(JobThread* job) {
      std::lock_guard<std::mutex> lock(mutex_);
      jobs_.erase(job);
    }
    void abort_all(napi_env environment) {
      std::lock_guard<std::mutex> lock(mutex_);
      for (JobThread* job : jobs_) {
        if (job->environment_ == environment) job->abort();
      }
    }

   private:
    std::mutex mutex_;
    std::set<JobThread*> jobs_;
  };

  static Live& live() {
    static Live* const jobs = new Live();
    return *jobs;
  }

  void launch() {
    try {
      thread_ = std::thread([this] { body(); });
    } catch (const std::system_error&) {
      status_ = Status::error(Code::memory, "the system refused a thread",
                              "Close other sessions or raise the limit on "
                              "threads (ulimit -u).");
      announce();
    }
  }

  void body() {
    status_ = guarded_run();
    announce();
  }

  // noexcept by construction: a message that cannot be allocated is left out.
  Status guarded_run() noexcept {
    try {
      return job_->run(abort_);
    } catch (const std::bad_alloc&) {
      return refusal(Code::memory, "the job ran out of memory",
                     "Lower the batch or the rank, or close other programs.");
    } catch (const std::exception& error) {
      return refusal(Code::native, error.what(), "This is a defect in the addon; please report it with the message.");
    } catch (...) {
      return refusal(Code::native, "the job ended with an unknown exception", "Please report it as a defect.");
    }
  }

  static Status refusal(Code code, const char* message, const char* fix) noexcept {
    Status status;
    status.code = code;
    try {
      status.message = message;
      status.fix = fix;
    } catch (...) {
    }
    return status;
  }

  // Tells owners that wait, then JavaScript. The thread-safe function is not touched again once it is closing:
  // then Node counts this thread as released.
  void announce() {
    napi_threadsafe_function function = function_;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      done_ = true;
    }
    ended_.notify_all();
    if (napi_call_threadsafe_function(function, nullptr, napi_tsfn_nonblocking) == napi_closing) return;
    napi_release_threadsafe_function(function, napi_tsfn_release);
  }

  // env is null where the environment is closing: then nothing may be settled.
  static void settle(napi_env env, napi_value, void* context, void*) {
    JobThread& self = **static_cast<std::shared_ptr<JobThread>*>(context);
    if (env == nullptr || self.deferred_ == nullptr) return;
    napi_deferred deferred = std::exchange(self.deferred_, nullptr);
    if (!self.status_.is_ok()) {
      reject(env, deferred, self.status_);
      return;
    }
    napi_value value = self.job_->result(Napi::Env(env));
    bool pending = false;
    if (napi_is_exception_pending(env, &pending) == napi_ok && pending) {
      napi_value error = nullptr;
      if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_reject_deferred(env, deferred, error);
      return;
    }
    if (value == nullptr) napi_get_undefined(env, &value);
    // Fails, without harm, where a worker is being terminated between the two lines.
    napi_resolve_deferred(env, deferred, value);
  }

  static void reject(napi_env env, napi_deferred deferred, const Status& status) {
    napi_value error = make_error(env, status);
    if (error != nullptr) napi_reject_deferred(env, deferred, error);
  }

  // Finalizer of the thread-safe function: after the last settle, or when the environment closes.
  static void finish(napi_env env, void*, void* context) {
    std::unique_ptr<std::shared_ptr<JobThread>> held(static_cast<std::shared_ptr<JobThread>*>(context));
    JobThread& self = **held;
    self.stop();
    if (self.hooked_) {
      napi_remove_env_cleanup_hook(env, cleanup, &self);
      self.hooked_ = false;
      self.release_owner(env);
    }
    // Buffers go now, not when the owner drops its handle.
    self.job_.reset();
  }

  static void cleanup(void* data) {
    JobThread& self = *static_cast<JobThread*>(data);
    self.hooked_ = false;
    live().abort_all(self.environment_);
    self.stop();
  }

  void stop() {
    abort();
    if (thread_.joinable()) thread_.join();
    live().remove(this);
  }

  void release_owner(napi_env env) {
    if (owner_ != nullptr) napi_delete_reference(env, std::exchange(owner_, nullptr));
  }

  std::unique_ptr<Job> job_;
  napi_deferred deferred_;
  napi_env environment_ = nullptr;
  napi_ref owner_ = nullptr;
  napi_threadsafe_function function_ = nullptr;
  bool hooked_ = false;  // the cleanup hook is registered and has not run; JavaScript thread only
  std::atomic<bool> abort_{false};
  std::mutex mutex_;  // guards done_
  std::condition_variable ended_;
  bool done_ = false;
  Status status_;  // written by the job's thread before done_
  std::thread thread_;
};

inline void JobHandle::abort() const {
  if (thread_) thread_->abort();
}
inline void JobHandle::join() const {
  if (thread_) thread_->wait();
}
inline bool JobHandle::running() const { return thread_ && thread_->running(); }

}  // namespace oneround::bind
