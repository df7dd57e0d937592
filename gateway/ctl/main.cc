// vigilctl: the command line of a Vigil node.

#include "gateway/ctl/command_line.h"

int main(int argc, char** argv) { return vigil::ctl::RunCommandLine(argc, argv); }
