#pragma once

#include <string>

#include "gateway/ctl/global_flags.h"

namespace vigil::ctl {

struct DoctorFlags {
  std::string http;      // URL; empty: not looked at.
  std::string metrics;   // URL; empty: not looked at.
  std::string keys_dir;  // Where the node's public keys are; empty: signatures are not looked at.
  std::string audience = "vigil";
};

// Looks at one layer after the other, from the socket to the media ports, and prints a row for
// each as soon as it is known. Exit code 1 if any failed.
int Doctor(const GlobalFlags& global, const DoctorFlags& flags);

}  // namespace vigil::ctl
