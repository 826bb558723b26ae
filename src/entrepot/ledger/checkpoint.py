"""How can the books be held to what they were? A checkpoint: the head's hash at some number, signed and kept elsewhere.

Who can write the database can rewrite everything from some entry to the end, hashes included. Against a checkpoint that
is kept where that person cannot write, an audit finds it: every entry up to the checkpoint is what it was when it was
signed. Ed25519 (RFC 8032); the signed text is canonical JSON.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from entrepot.errors import Conflict, Fault, InputError
from entrepot.ledger.ledger import Ledger

__all__ = ["Checkpoint", "generate_key", "read_checkpoint", "sign"]

_KIND = "entrepot-ledger-checkpoint/1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the journal's head was, who signed it, and when by the signer's word.

    Attributes
    ----------
    seq : number of entries up to it
    entry : id of the last
    hash : its hash, which stands for all of them
    at : when it was signed, as the signer says
    key : the signer's public key, base64
    signature : over the other fields, base64
    """

    seq: int
    entry: str
    hash: str
    at: str
    key: str
    signature: str = ""

    def text(self) -> bytes:
        """Return what is signed."""
        content = {
            "at": self.at,
            "entry": self.entry,
            "hash": self.hash,
            "key": self.key,
            "kind": _KIND,
            "seq": self.seq,
        }
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()

    def json(self) -> str:
        """Return it as it is kept in a file."""
        return (
            json.dumps({**json.loads(self.text()), "signature": self.signature}, ensure_ascii=False, indent=1)
            + "\n"
        )


def generate_key(private: Path) -> Path:
    """Make a key pair: the private key in a file that only its owner may read, the public one beside it.

    Returns
    -------
    The public key's file: the private one's name with ``.pub``

    Raises
    ------
    Conflict
        When one of the files is there already.
    """
    public = private.with_name(f"{private.name}.pub")
    for path in (private, public):
        if path.exists():
            raise Conflict(f"{path} is there already.\n  Name another file; no key was made.")
    key = Ed25519PrivateKey.generate()
    kept = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    told = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(kept)
    public.write_bytes(told)
    return public


def sign(ledger: Ledger, private: Path, *, at: dt.datetime) -> Checkpoint:
    """Sign the journal's head as it is now.

    Parameters
    ----------
    at : what the signer says the time is; the ledger asks no clock

    Raises
    ------
    InputError
        When the key cannot be read or others may read it, or the journal is empty.
    """
    key = _private(private)
    seq, hash_ = ledger.head
    if seq == 0:
        raise InputError(Fault("the ledger", "has no entry to sign", "Post something first."))
    last = next(iter(ledger.stream(after=seq - 1)))
    if last.hash != hash_ and last.seq == seq:
        raise InputError(
            Fault("the ledger", "its head is not its last entry", "Audit it before you sign anything.")
        )
    told = base64.b64encode(
        key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    ).decode()
    point = Checkpoint(last.seq, last.entry.id, last.hash, at.strftime("%Y-%m-%dT%H:%M:%SZ"), told)
    signature = base64.b64encode(key.sign(point.text())).decode()
    return Checkpoint(point.seq, point.entry, point.hash, point.at, point.key, signature)


def read_checkpoint(path: Path, public: Path) -> Checkpoint:
    """Read a checkpoint, and check its signature with a public key that is known from elsewhere.

    Raises
    ------
    InputError
        When it cannot be read, was changed, or was signed by another key.
    """
    mend = "Use the file as it was signed, and the public key of who signed it."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("kind") != _KIND:
            raise KeyError("kind")  # noqa: TRY301 - one way out for every reason
        point = Checkpoint(**content)
        signature = base64.b64decode(point.signature, validate=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise InputError(Fault(str(path), "is no checkpoint that can be read", mend)) from error
    try:
        key = serialization.load_pem_public_key(public.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            Fault(str(public), "is no public key that can be read", "Give the .pub file.")
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(Fault(str(public), "is no Ed25519 key", "Give the .pub file that keygen wrote."))
    try:
        key.verify(signature, point.text())
    except InvalidSignature as error:
        raise InputError(Fault(str(path), "was changed, or was signed by another key", mend)) from error
    return point


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        mode = path.stat().st_mode
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            Fault(str(path), "is no private key that can be read", "Make one with `entrepot ledger keygen`.")
        ) from error
    if os.name == "posix" and mode & 0o077:
        raise InputError(
            Fault(str(path), "may be read by others", f"chmod 600 {path}; if it was read, make a new key.")
        )
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(Fault(str(path), "is no Ed25519 key", "Make one with `entrepot ledger keygen`."))
    return key
