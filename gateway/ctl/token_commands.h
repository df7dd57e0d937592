#pragma once

#include <string>
#include <vector>

#include "gateway/ctl/token.h"

// The commands that need no node: keys, tokens, certificates. Each prints, and returns the exit
// code.

namespace vigil::ctl {

int TokenKeygen(const std::string& dir, const std::string& kid, bool json);

struct TokenMakeFlags {
  TokenClaims claims;
  std::string key;  // File.
  std::string kid;  // Empty: the name of the key's file.
  std::string lifetime = "8h";
};
int TokenMake(const TokenMakeFlags& flags, bool json);

// `keys_dir`: empty, and nothing is verified.
int TokenShow(const std::string& file, const std::string& keys_dir, bool json);
int TokenRevoke(const std::string& token_id, const std::string& file, bool json);

int DevCa(const std::string& dir, const std::vector<std::string>& hosts, const std::string& client,
          bool json);

}  // namespace vigil::ctl
