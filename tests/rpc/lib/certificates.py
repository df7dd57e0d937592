"""A small certificate authority, by openssl, and files as a gateway reads them."""

import subprocess

from .gateway import temporary_folder


class Authority:
    """Keeps everything in a folder of its own."""

    def __init__(self, name="Vigil test CA"):
        self.folder = temporary_folder()
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-subj", f"/CN={name}", "-days", "2", "-keyout", "ca.key", "-out",
                      "ca.pem", "-addext", "basicConstraints=critical,CA:TRUE")
        self.ca = self.folder / "ca.pem"
        self.certificate = self.folder / "tls.pem"
        self.key = self.folder / "tls.key"

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True)

    def issue(self, common_name="localhost"):
        """A new key and certificate, both PEM, as (certificate, key)."""
        (self.folder / "extensions").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-subj", f"/CN={common_name}", "-keyout", "new.key", "-out", "new.csr")
        self._openssl("x509", "-req", "-in", "new.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                      "-CAcreateserial", "-days", "1", "-extfile", "extensions", "-out", "new.pem")
        return (self.folder / "new.pem").read_text(), (self.folder / "new.key").read_text()

    def install(self, certificate, key):
        """Where the gateway reads them: each file at once, one behind the other."""
        for file, text in ((self.certificate, certificate), (self.key, key)):
            new = file.with_suffix(".new")
            new.write_text(text)
            new.replace(file)

    def env(self, client_ca=None):
        env = {"VIGIL_TLS_CERTIFICATE": str(self.certificate), "VIGIL_TLS_KEY": str(self.key)}
        if client_ca is not None:
            env["VIGIL_TLS_CLIENT_CA"] = str(client_ca)
        return env
