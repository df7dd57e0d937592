#include "gateway/control/listen.h"

#include "absl/strings/str_cat.h"

namespace vigil::control {

absl::Status Listen(boost::asio::ip::tcp::acceptor& acceptor, const std::string& address,
                    uint16_t port) {
  using boost::asio::socket_base;
  boost::system::error_code error;
  const auto ip = boost::asio::ip::make_address(address, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat(address, " is no IP address"));
  const boost::asio::ip::tcp::endpoint endpoint(ip, port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(socket_base::max_listen_connections, error);
  if (!error) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat("cannot listen on ", address, ":", port, ": ", error.message()));
}

}  // namespace vigil::control
