#include "gateway/control/http_message.h"

#include <algorithm>
#include <cctype>

namespace vigil::control {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986, 2.1. A malformed escape stays as it is.
std::string PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
        HexDigit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> ParseQuery(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view item = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = std::min(item.find('='), item.size());
    out.emplace_back(PercentDecode(item.substr(0, equals)),
                     PercentDecode(item.substr(std::min(equals + 1, item.size()))));
  }
  return out;
}

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

const std::string* Find(const std::vector<std::pair<std::string, std::string>>& items,
                        std::string_view name) {
  for (const auto& [key, value] : items) {
    if (key == name) return &value;
  }
  return nullptr;
}

}  // namespace

std::string_view HttpRequest::QueryValue(std::string_view name) const {
  const std::string* value = Find(query, name);
  return value == nullptr ? std::string_view() : *value;
}

std::string_view HttpRequest::Header(std::string_view name) const {
  const std::string* value = Find(headers, name);
  return value == nullptr ? std::string_view() : *value;
}

bool HttpRequest::HasHeader(std::string_view name) const { return Find(headers, name) != nullptr; }

std::optional<HttpRequest> ReadHttp(const http::request<http::string_body>& message) {
  HttpRequest request;
  request.method = std::string(View(message.method_string()));
  request.target = std::string(View(message.target()));
  const std::string_view target = request.target;
  const size_t question = std::min(target.find('?'), target.size());
  request.path = PercentDecode(target.substr(0, question));
  request.query = ParseQuery(target.substr(std::min(question + 1, target.size())));
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (!request.path.starts_with('/') ||
      std::any_of(request.path.begin(), request.path.end(), is_control)) {
    return std::nullopt;
  }
  for (const auto& field : message) {
    request.headers.emplace_back(Lower(View(field.name_string())), View(field.value()));
  }
  request.host = Lower(request.Header("host"));
  const std::string_view type = request.Header("content-type");
  request.content_type = Lower(type.substr(0, std::min(type.find(';'), type.size())));
  while (request.content_type.ends_with(' ')) request.content_type.pop_back();
  request.body = message.body();
  return request;
}

}  // namespace vigil::control
