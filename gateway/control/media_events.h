#pragma once

#include "gateway/base/strong_id.h"
#include "vigil/v1/media.pb.h"

namespace vigil::control {

// Who is told of every change of the media plane.
class MediaEvents {
 public:
  virtual ~MediaEvents() = default;
  // `event` has everything but its site and time.
  virtual void OnChange(SiteId site, v1::MediaEvent event) = 0;
};

}  // namespace vigil::control
