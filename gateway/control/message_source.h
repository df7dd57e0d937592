#pragma once

#include <functional>

#include "absl/status/status.h"
#include "gateway/base/time.h"
#include "google/protobuf/message.h"

namespace vigil::control {

// A running server stream as its transport sees it: the transport pulls the next message whenever
// its client can take one, so no message waits in a queue for a client that does not read. Control
// thread.
class MessageSource {
 public:
  enum class Next {
    kMessage,  // `message` was filled.
    kWait,     // Nothing now; the wake-up given at opening is called when there may be.
    kEnd,      // Nothing any more; status() says why.
  };
  using Wake = std::function<void()>;

  virtual ~MessageSource() = default;
  virtual Next Pull(google::protobuf::Message& message, Timestamp now) = 0;
  virtual absl::Status status() const = 0;
};

}  // namespace vigil::control
