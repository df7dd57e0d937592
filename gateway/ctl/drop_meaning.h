#pragma once

#include <string>
#include <string_view>

// Drop reasons, as nodes label them, for somebody who did not write the gateway.

namespace vigil::ctl {

// What a drop means, and that it is harmless if it is. A label of a later version is all that there
// is to say of it.
std::string DropText(std::string_view label);

// Whether such drops belong to a node and a network that are well: nobody misses what was dropped.
// False for a label of a later version.
bool IsHarmlessDrop(std::string_view label);

}  // namespace vigil::ctl
