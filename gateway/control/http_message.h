#pragma once

#include <optional>

#include "boost/beast/http.hpp"
#include "gateway/control/http_server.h"

namespace vigil::control {

// A parsed request as the handlers see it. Nothing for one whose path has control characters,
// encoded ones too, or is no path.
std::optional<HttpRequest> ReadHttp(
    const boost::beast::http::request<boost::beast::http::string_body>& message);

}  // namespace vigil::control
