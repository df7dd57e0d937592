#include "gateway/io/fd.h"

#include <errno.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace vigil::io {

void Fd::Reset() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

absl::Status SystemError(int error, const std::string& what) {
  // absl calls it a failed precondition, and so many other things.
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(absl::StrCat(what, ": ", std::strerror(error)));
  }
  return absl::ErrnoToStatus(error, what);
}

}  // namespace vigil::io
