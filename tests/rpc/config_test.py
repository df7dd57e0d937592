"""A mistake in the configuration ends the gateway with code 2 and one line that names the key and
what is allowed."""

import re
import socket
import unittest

from lib.certificates import Authority
from lib.gateway import Ended, Gateway, temporary_folder
from lib.tokens import Issuer

# By environment: what is set, and what the line has to say, the key first.
WRONG_VARIABLES = (
    ({"VIGIL_HTTP_PORT": "80000"}, "http.port", "0 to 65535"),
    ({"VIGIL_HTTP_PORT": "-1"}, "http.port", "0 to 65535"),
    ({"VIGIL_HTTP_PORT": ""}, "http.port", "0 to 65535"),
    ({"VIGIL_GRPC_PORT": "many"}, "grpc.port", "0 to 65535"),
    ({"VIGIL_METRICS_PORT": "9464x"}, "metrics.port", "0 to 65535"),
    ({"VIGIL_MEDIA_PORT": "65536"}, "media.port", "0 to 65535"),
    ({"VIGIL_MEDIA_PORT": "65535", "VIGIL_NODE_WORKERS": "2"}, "media.port", "at most 65534"),
    ({"VIGIL_NODE_WORKERS": "0"}, "node.workers", "1 to 63"),
    ({"VIGIL_NODE_WORKERS": "64"}, "node.workers", "1 to 63"),
    ({"VIGIL_NODE_PACKETS": "1"}, "node.packets", "1024 to 4194304"),
    ({"VIGIL_MEDIA_TCP": "perhaps"}, "media.tcp", "true, false"),
    ({"VIGIL_GRPC_REFLECTION": "1"}, "grpc.reflection", "true, false"),
    ({"VIGIL_AUTH_MODE": "maybe"}, "auth.mode", "none, jwt"),
    ({"VIGIL_LOG_LEVEL": "loud"}, "log.level", "debug, info, warn, error"),
    ({"VIGIL_LOG_FORMAT": "xml"}, "log.format", "text, json"),
    ({"VIGIL_LIMITS_CALLS_PER_SECOND": "0"}, "limits.calls_per_second", "1 to 1000000"),
    ({"VIGIL_LIMITS_STREAMS_PER_CALLER": "1e3"}, "limits.streams_per_caller", "1 to 100000"),
    ({"VIGIL_SHUTDOWN_DRAIN_SECONDS": "86401"}, "shutdown.drain_seconds", "0 to 86400"),
    ({"VIGIL_HTTP_PROT": "80"}, "VIGIL_HTTP_PROT", "no such key"),
    ({"VIGIL_LIMITS_CALLS": "80"}, "VIGIL_LIMITS_CALLS", "no such key"),
    ({"VIGIL_MEDIA_ADDRESSES": ""}, "media.addresses", "at least one IP address"),
    ({"VIGIL_MEDIA_ADDRESSES": "0.0.0.0"}, "media.addresses", "an IP address that clients reach"),
    ({"VIGIL_MEDIA_ADDRESSES": "localhost"}, "media.addresses", "an IP address"),
    ({"VIGIL_MEDIA_ADDRESSES": "192.0.2.7"}, "media.addresses", "192.0.2.7"),
    ({"VIGIL_HTTP_ADDRESS": "nowhere"}, "http.address", "an IP address"),
    ({"VIGIL_GRPC_ADDRESS": "nowhere"}, "grpc.address", "an IP address"),
    ({"VIGIL_METRICS_ADDRESS": "nowhere"}, "metrics.address", "an IP address"),
    ({"VIGIL_HTTP_ADDRESS": "0.0.0.0"}, "http.address", "loopback"),
    ({"VIGIL_GRPC_ADDRESS": "::"}, "grpc.address", "loopback"),
    ({"VIGIL_AUTH_MODE": "jwt"}, "auth.keys_dir", "needed"),
    ({"VIGIL_AUTH_MODE": "jwt", "VIGIL_AUTH_KEYS_DIR": "/nowhere"}, "auth.keys_dir", "/nowhere"),
    ({"VIGIL_TLS_CERTIFICATE": "/nowhere.pem"}, "tls.key", "tls.certificate"),
    ({"VIGIL_TLS_KEY": "/nowhere.pem"}, "tls.key", "tls.certificate"),
    ({"VIGIL_TLS_CERTIFICATE": "/nowhere.pem", "VIGIL_TLS_KEY": "/nowhere.key"},
     "tls.certificate", "/nowhere.pem"),
    ({"VIGIL_TLS_CLIENT_CA": "/nowhere.pem"}, "tls.client_ca", "tls.certificate"),
    ({"VIGIL_CONSOLE_DIR": "/nowhere"}, "console_dir", "/nowhere"),
    ({"VIGIL_HTTP_REDIRECT_URL": "other.example"}, "http.redirect_url", "scheme://host"),
    ({"VIGIL_HTTP_REDIRECT_URL": "https://other.example/vigil/"}, "http.redirect_url", "no / at"),
    ({"VIGIL_HTTP_REDIRECT_URL": "https://other.example/?a"}, "http.redirect_url", "no / at"),
    ({"VIGIL_HTTP_REDIRECT_URL": "https://"}, "http.redirect_url", "scheme://host"),
    ({"VIGIL_HTTP_CORS_ORIGINS": "https://a.example,console.example"}, "http.cors_origins",
     "console.example"),
    ({"VIGIL_HTTP_CORS_ORIGINS": "https://a.example/"}, "http.cors_origins", "nothing behind"),
    ({"VIGIL_MEDIA_ICE_SERVERS": "(hidden)"}, "media.ice_servers", "stun:"),
    ({"VIGIL_MEDIA_ICE_SERVERS": "turn:t.example user"}, "media.ice_servers", "USERNAME"),
)
WRONG_FILES = (
    ("http:\n  prot: 80\n", "http.prot", "no such key"),
    ("htpt:\n  port: 80\n", "htpt", "no such key"),
    ("http:\n  port: [80]\n", "http.port", "single value"),
    ("http:\n  port: eighty\n", "http.port", "0 to 65535"),
    ("http: 80\n", "http", "section"),
    ("media:\n  addresses: {a: b}\n", "media.addresses", "list"),
    ("media:\n  addresses: [[a]]\n", "media.addresses", "list"),
    ("- http\n", "wrong.yaml", "map"),
    ("http: {port: 80\n", "wrong.yaml", "line"),
    ("? [http]\n: 80\n", "?", "key"),
)
ONE_LINE = re.compile(r"vigil-gateway: [^\n]+\n")


class Mistakes(unittest.TestCase):
    def check(self, ended, key, allowed):
        self.assertEqual(ended.code, 2, ended.stderr)
        self.assertRegex(ended.stderr, ONE_LINE)
        self.assertEqual(len(ended.stderr.splitlines()), 1, ended.stderr)
        self.assertIn(key, ended.stderr)
        self.assertIn(allowed, ended.stderr)
        self.assertNotIn("ready", ended.stdout)

    def test_in_the_environment(self):
        for env, key, allowed in WRONG_VARIABLES:
            with self.subTest(env=env):
                self.check(Ended(env), key, allowed)

    def test_in_the_file(self):
        file = temporary_folder() / "wrong.yaml"
        for text, key, allowed in WRONG_FILES:
            with self.subTest(text=text):
                file.write_text(text)
                self.check(Ended(args=["--config", str(file)]), key, allowed)

    def test_on_the_command_line(self):
        for args, said in ((["--config", "/nowhere.yaml"], "/nowhere.yaml"),
                           (["--config"], "--config"), (["--no-such-flag"], "--no-such-flag"),
                           (["what"], "what")):
            with self.subTest(args=args):
                self.check(Ended(args=args), said, "")

    def test_a_port_that_is_taken(self):
        for key, kind in (("http", socket.SOCK_STREAM), ("grpc", socket.SOCK_STREAM),
                          ("metrics", socket.SOCK_STREAM), ("media", socket.SOCK_STREAM),
                          ("media", socket.SOCK_DGRAM)):
            with self.subTest(key=key), socket.socket(socket.AF_INET, kind) as taken:
                taken.bind(("127.0.0.1", 0))
                if kind == socket.SOCK_STREAM:
                    taken.listen()
                port = str(taken.getsockname()[1])
                self.check(Ended({f"VIGIL_{key.upper()}_PORT": port}), f"{key}.port", port)

    def test_the_ports_of_a_gateway_that_runs(self):
        with Gateway() as gateway:
            for key, address in (("http", gateway.http), ("grpc", gateway.grpc),
                                 ("metrics", gateway.metrics), ("media", gateway.media)):
                with self.subTest(key=key):
                    port = address.rpartition(":")[2]
                    self.check(Ended({f"VIGIL_{key.upper()}_PORT": port}), f"{key}.port", port)

    def test_certificates_that_cannot_be_used(self):
        authority = Authority()
        good, other = authority.issue(), authority.issue()
        for what, certificate, key, said in (
                ("no certificate", "junk", good[1], "tls.certificate"),
                ("no key", good[0], "junk", "tls.key"),
                ("another's key", good[0], other[1], "tls.key"),
                ("an empty certificate", "", good[1], "tls.certificate"),
                ("an empty key", good[0], "", "tls.key")):
            with self.subTest(what):
                authority.install(certificate, key)
                self.check(Ended(authority.env()), said, "")
        authority.install(*good)
        bad = authority.folder / "bad.pem"
        for text in ("junk", ""):
            with self.subTest("a client CA that is none", text=text):
                bad.write_text(text)
                self.check(Ended(authority.env(client_ca=bad)), "tls.client_ca", str(bad))
        with self.subTest("a client CA that is not there"):
            self.check(Ended(authority.env(client_ca="/nowhere.pem")), "tls.client_ca",
                       "/nowhere.pem")

    def test_token_keys_that_cannot_be_used(self):
        issuer = Issuer()
        pem = issuer.keys_dir / "first.pem"
        pem.write_text("junk")
        self.check(Ended(issuer.env), "auth.keys_dir", str(pem))
        pem.unlink()
        self.check(Ended(issuer.env), "auth.keys_dir", str(issuer.keys_dir))

    def test_a_folder_is_no_list_of_withdrawn_tokens(self):
        issuer = Issuer()
        self.check(Ended({**issuer.env, "VIGIL_AUTH_REVOKED_FILE": str(issuer.keys_dir)}),
                   "auth.revoked_file", str(issuer.keys_dir))

    def test_a_list_of_withdrawn_tokens_that_is_not_there(self):
        issuer = Issuer()
        self.check(Ended({**issuer.env, "VIGIL_AUTH_REVOKED_FILE": "/nowhere"}),
                   "auth.revoked_file", "/nowhere")


class Printing(unittest.TestCase):
    FILE = ("node:\n  name: node-7\n  packets: 2048\nmedia:\n  addresses: [127.0.0.1, '::1']\n"
            "http:\n  cors_origins: []\nlog:\n  level: debug\n")

    def printed(self, text, env=None):
        file = temporary_folder() / "config.yaml"
        file.write_text(text)
        ended = Ended(env, ["--config", str(file), "--print-config"])
        self.assertEqual((ended.code, ended.stderr), (0, ""))
        return ended.stdout

    def test_what_is_printed_can_be_read_back(self):
        first = self.printed(self.FILE, {"VIGIL_SHUTDOWN_DRAIN_SECONDS": "3"})
        for line in ("name: node-7", "packets: 2048", "level: debug", "drain_seconds: 3"):
            self.assertIn(line, first)
        self.assertEqual(self.printed(first, {"VIGIL_SHUTDOWN_DRAIN_SECONDS": "3"}), first)

    def test_secrets_are_hidden(self):
        for text in (self.printed("media: {ice_servers: ['turn:t.example user hunter2']}"),
                     self.printed("", {"VIGIL_MEDIA_ICE_SERVERS": "turn:t.example user hunter2"})):
            self.assertNotIn("hunter2", text)
            self.assertIn("(hidden)", text)

    def test_what_is_hidden_is_not_taken_for_a_secret(self):
        text = self.printed("media: {ice_servers: ['turn:t.example user hunter2']}")
        file = temporary_folder() / "config.yaml"
        file.write_text(text)
        ended = Ended(args=["--config", str(file)])
        self.assertEqual(ended.code, 2)
        self.assertIn("media.ice_servers", ended.stderr)
        self.assertNotIn("hunter2", ended.stderr)

    def test_the_environment_wins(self):
        self.assertIn("name: by-env", self.printed(self.FILE, {"VIGIL_NODE_NAME": "by-env"}))

    def test_variables_of_others_are_left_alone(self):
        self.printed("", {"VIGIL_GATEWAY": "binary", "VIGILANT": "1", "VIGIL_TEST_SEED": "4"})

    def test_help_and_version(self):
        for flag, said in (("--help", "--config"), ("--version", ".")):
            ended = Ended(args=[flag])
            self.assertEqual((ended.code, ended.stderr), (0, ""))
            self.assertIn(said, ended.stdout)


if __name__ == "__main__":
    unittest.main()
