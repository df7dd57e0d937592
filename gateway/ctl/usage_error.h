#pragma once

#include <string>

#include "CLI/CLI.hpp"

namespace vigil::ctl {

// What is wrong with a command line that `app` refused, on one line: which flag, argument or
// command it is, and what is allowed there.
std::string UsageErrorText(const CLI::App& app, const CLI::ParseError& error);

}  // namespace vigil::ctl
