// cpu and random of src/native/binding/.
#pragma once

#include <napi.h>

namespace oneround::bind {

void init_system(Napi::Env env, Napi::Object exports);

}  // namespace oneround::bind
