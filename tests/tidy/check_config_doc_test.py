#!/usr/bin/env python3
"""check_config_doc.py fails on each way in which the page and the code can disagree."""

import unittest

import check_config_doc

SOURCE = '''\
std::vector<Key> KeysOf(Config& config) {
  return {
      {.name = "http.port", .to = &config.http.port, .most = 65'535},
      {.name = "http.origins", .to = &config.http.origins},
      {.name = "limits.peers",
       .to = &config.limits.peers,
       .least = 1,
       .most = 1'000},
      {.name = "log.level", .to = &config.log.level, .choices = {"info", "warn"}},
      {.name = "tls.on", .to = &config.tls.on},
      {.name = "console_dir", .to = &config.console_dir},
  };
}
'''
HEADER = '''\
struct Config {
  struct Http {
    uint16_t port = 8'080;  // Of it.
    std::vector<std::string> origins = {"*"};
  } http;
  struct Limits {
    uint32_t peers = 32;
  } limits;
  struct Log {
    std::string level = "info";
  } log;
  struct Tls {
    bool on = false;
  } tls;
  std::string console_dir;
};
'''
PAGE = '''\
| key | variable | allowed | default | meaning |
|---|---|---|---|---|
| `http.port` | `VIGIL_HTTP_PORT` | 0 to 65535 | `8080` | The port that it listens on |
| `http.origins` | `VIGIL_HTTP_ORIGINS` | list of texts | `*` | The pages that may call it |
| `limits.peers` | `VIGIL_LIMITS_PEERS` | 1 to 1000 | `32` | How many peers there may be |
| `log.level` | `VIGIL_LOG_LEVEL` | info, warn | `info` | What is written to the log |
| `tls.on` | `VIGIL_TLS_ON` | true, false | `false` | Whether anything is encrypted at all |
| `console_dir` | `VIGIL_CONSOLE_DIR` | folder | as built | Where the console's files are |
'''


class ConfigDoc(unittest.TestCase):
    def check(self, old="", new="", where="page"):
        texts = {"source": SOURCE, "header": HEADER, "page": PAGE}
        self.assertIn(old, texts[where])
        texts[where] = texts[where].replace(old, new, 1)
        return check_config_doc.check(*texts.values())

    def test_what_agrees_passes(self):
        self.assertEqual(self.check(), [])

    def test_each_disagreement_is_found(self):
        for what, old, new in (
                ("a row is missing", PAGE.splitlines()[2] + "\n", ""),
                ("a row is there twice", "| `tls.on`", PAGE.splitlines()[2] + "\n| `tls.on`"),
                ("a key does not exist", "`http.port`", "`http.prot`"),
                ("the variable is wrong", "`VIGIL_HTTP_PORT`", "`VIGIL_PORT`"),
                ("the bounds are wrong", "1 to 1000", "1 to 100"),
                ("the bounds go on", "1 to 1000", "1 to 10000"),
                ("a choice is missing", "info, warn", "info"),
                ("the type is wrong", "list of texts", "text"),
                ("the default is wrong", "`8080`", "`80`"),
                ("the default is missing", "`info` |", "|"),
                ("the meaning is missing", "The port that it listens on", ""),
                ("a cell is missing", "| `8080` ", "")):
            with self.subTest(what):
                self.assertNotEqual(self.check(old, new), [])

    def test_a_new_key_needs_a_row(self):
        self.assertEqual(len(self.check("  std::string console_dir;",
                                        "  std::string console_dir;\n  bool more = true;",
                                        "header")), 1)
        self.assertEqual(len(self.check('.name = "tls.on"', '.name = "tls.off"', "source")), 4)

    def test_finding_nothing_is_no_pass(self):
        self.assertNotEqual(check_config_doc.check("", HEADER, ""), [])


if __name__ == "__main__":
    unittest.main()
