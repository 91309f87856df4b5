// probePeak, probeBandwidth and probeProduct of src/native/binding/.
#pragma once

#include <napi.h>

namespace oneround::bind {

void init_peak(Napi::Env env, Napi::Object exports);

}  // namespace oneround::bind
