// The aggregation's part of src/native/binding/: factorisations of stacks in aggregate.cc, sums in aggregate_sums.cc,
// dense results in aggregate_dense.cc.
#pragma once

#include <napi.h>

namespace oneround::bind {

void init_aggregate(Napi::Env env, Napi::Object exports);
void init_aggregate_sums(Napi::Env env, Napi::Object exports);
void init_aggregate_dense(Napi::Env env, Napi::Object exports);

}  // namespace oneround::bind
