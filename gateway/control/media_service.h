#pragma once

#include "gateway/control/api.h"
#include "gateway/control/media_control.h"
#include "gateway/control/media_watches.h"

namespace vigil::control {

// The methods of vigil.v1.MediaService: reads a message, checks what the caller may, asks
// MediaControl, writes the answer. The only code that reads these messages. All outlive the API.
void AddMediaService(Api& api, MediaControl& control, MediaWatches& watches);

}  // namespace vigil::control
