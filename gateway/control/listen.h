#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "boost/asio/ip/tcp.hpp"

namespace vigil::control {

// Opens the acceptor on an address as text; port 0: any free one. INVALID_ARGUMENT when it is no IP
// address, ALREADY_EXISTS when the port cannot be had, naming both.
absl::Status Listen(boost::asio::ip::tcp::acceptor& acceptor, const std::string& address,
                    uint16_t port);

}  // namespace vigil::control
