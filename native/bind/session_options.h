// Reading the arguments of Session and its jobs.
#pragma once

#include <napi.h>

#include "train/session.h"

namespace oneround::bind {

bool read_session_options(Napi::Value value, SessionOptions* out);
bool read_compute(Napi::Value value, Compute* out);
bool read_batch(Napi::Value value, Batch* out);
bool read_step_options(Napi::Value value, StepOptions* out);
Napi::Object to_object(Napi::Env env, const MemoryBudget& budget);
Napi::Object to_object(Napi::Env env, const StepResult& result);

}  // namespace oneround::bind
