#include <napi.h>

#include "bind/aggregate.h"
#include "bind/convert.h"
#include "bind/peak.h"
#include "bind/probe.h"
#include "bind/session.h"
#include "bind/system.h"
#include "bind/weights.h"

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  oneround::bind::init_system(env, exports);
  oneround::bind::init_weights(env, exports);
  oneround::bind::init_session(env, exports);
  oneround::bind::init_aggregate(env, exports);
  oneround::bind::init_convert(env, exports);
  oneround::bind::init_peak(env, exports);
  oneround::bind::init_probe(env, exports);
  return exports;
}

NODE_API_MODULE(oneround, init)
