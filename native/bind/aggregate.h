// The aggregation's part of src/native/binding/: factorisations in aggregate.cc, the rest in aggregate_sums.cc.
#pragma once

#include <napi.h>

namespace oneround::bind {

void init_aggregate(Napi::Env env, Napi::Object exports);
void init_aggregate_sums(Napi::Env env, Napi::Object exports);

}  // namespace oneround::bind
