#pragma once

#include "gateway/ctl/completion.h"

namespace vigil::ctl {

// Reads the flags, runs the command, and returns its exit code (global_flags.h).
int RunCommandLine(int argc, const char* const* argv);

// The commands and their flags, as they are parsed.
CommandNode CommandTree();

}  // namespace vigil::ctl
