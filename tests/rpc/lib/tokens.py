"""An issuer of tokens: the files that a gateway reads its keys from, and JWTs of them."""

import time
import uuid

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .gateway import temporary_folder

AUDIENCE = "vigil-test"


def grants(*roles, sites=("north",), publish=(), subscribe=()):
    """The claim `vigil`."""
    return {"sites": list(sites), "roles": list(roles), "publish": list(publish),
            "subscribe": list(subscribe)}


class Issuer:
    """Keeps its keys in a folder of its own."""

    def __init__(self):
        folder = temporary_folder()
        self._keys = {}
        self._revoked = []
        self.keys_dir = folder / "keys"
        self.keys_dir.mkdir()
        self._revoked_file = folder / "revoked"
        self._replace(self._revoked_file, "")
        self.add_key("first")

    @property
    def env(self):
        return {"VIGIL_AUTH_MODE": "jwt", "VIGIL_AUTH_AUDIENCE": AUDIENCE,
                "VIGIL_AUTH_KEYS_DIR": str(self.keys_dir),
                "VIGIL_AUTH_REVOKED_FILE": str(self._revoked_file)}

    @staticmethod
    def _replace(file, text):
        """A reader sees the old file or the new one."""
        new = file.with_suffix(".new")
        new.write_text(text)
        new.replace(file)

    def public_pem(self, kid="first"):
        return self._keys[kid].public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    def add_key(self, kid):
        self._keys[kid] = ec.generate_private_key(ec.SECP256R1())
        self._replace(self.keys_dir / f"{kid}.pem", self.public_pem(kid))

    def forge_key(self, kid):
        """A key that no gateway knows."""
        self._keys[kid] = ec.generate_private_key(ec.SECP256R1())

    def remove_key(self, kid):
        (self.keys_dir / f"{kid}.pem").unlink()

    def revoke(self, jti):
        self._revoked.append(jti)
        self._replace(self._revoked_file, "\n".join(self._revoked) + "\n")

    def token(self, vigil, kid="first", key=None, **claims):
        """With these grants; a claim that is None is left out."""
        body = {"sub": "dr-1", "aud": AUDIENCE, "exp": int(time.time()) + 600,
                "jti": str(uuid.uuid4()), "vigil": vigil, **claims}
        body = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(body, self._keys[key or kid], algorithm="ES256", headers={"kid": kid})

    def controller(self, *sites, sub="desk"):
        return self.token(grants("controller", sites=sites), sub=sub)

    def viewer(self, *sites, sub="wall"):
        return self.token(grants("viewer", sites=sites), sub=sub)

    def operator(self, sub="ops"):
        return self.token(grants("operator", "viewer", sites=["*"]), sub=sub)

    def participant(self, site, sub, publish=None, subscribe=("*",)):
        publish = [f"{sub}/*"] if publish is None else publish
        return self.token(grants("participant", sites=[site], publish=publish,
                                 subscribe=subscribe), sub=sub)
