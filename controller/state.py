"""The state directory: made once by ``init``, opened by every other command. I/O.

    controller.toml   configuration            ca/root.pem, root.key            offline root
    controller.db     everything else          ca/intermediate.pem, .key        online authority
    signer.key        signs node records       admin.token                      bearer token of the HTTP API
    metrics.token     opens metrics alone, made of admin.token

Secrets are files that only their owner reads; none ever stands on a command line or in the environment.
"""

import hashlib
import hmac
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.config import FILE_NAME, Config, check_config, load_config, render_config
from controller.enrolment.addresses import address_plan
from controller.enrolment.authority import create_authority, key_pem, load_authority, pem
from controller.enrolment.enrol import Issuer
from controller.enrolment.records import Signer
from controller.enrolment.tokens import check_name
from controller.store.store import NetworkRow, Store

DEFAULT_POOL = "100.64.0.0/16"
SUITE = "aes256-gcm"
ROOT_KEY = "ca/root.key"
DATABASE = "controller.db"
METRICS_TOKEN = "metrics.token"
_METRICS = b"overlayd metrics"


class StateError(Exception):
    """The state directory is not what the command needs; it was left as it is."""


class StateMissing(StateError):
    """There is no controller here yet."""


class StateExists(StateError):
    """There is a controller here already."""


@dataclass(frozen=True, slots=True)
class State:
    """An opened state directory."""

    directory: Path
    config: Config
    store: Store
    network: NetworkRow
    issuer: Issuer
    admin_token: str

    @property
    def metrics_token(self) -> str:
        """Bearer token that opens nothing but what Prometheus reads; a new admin token makes a new one."""
        return hmac.new(self.admin_token.encode(), _METRICS, hashlib.sha256).hexdigest()

    def __enter__(self) -> "State":
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()


def create_state(
    directory: Path, network: str, config: Config, *, suite: str = SUITE, pool: str = DEFAULT_POOL
) -> State:
    """Make a new network's controller. Raises :class:`StateExists`, ``ConfigError``, ``EnrolmentError``."""
    check_config(config)
    check_name(network)
    existing = [name for name in (FILE_NAME, DATABASE, "ca", "signer.key") if (directory / name).exists()]
    if existing:
        raise StateExists(
            f"{directory} holds a controller already ({', '.join(existing)}); nothing was changed"
        )
    now = time.time()
    identity = NetworkRow(
        id=int.from_bytes(os.urandom(4), "big") or 1,
        name=network,
        suite=suite,
        psk=os.urandom(32).hex(),
        ipv4_pool=pool,
        created_at=int(now),
    )
    address_plan(identity.id, pool)
    new = create_authority(network, now, os.urandom)
    signer = Ed25519PrivateKey.generate()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "ca").mkdir(mode=0o700)
    _write(directory / ROOT_KEY, key_pem(new.root_key))
    _write(directory / "ca/root.pem", pem(new.authority.root).encode())
    _write(directory / "ca/intermediate.key", key_pem(new.authority.key))
    _write(directory / "ca/intermediate.pem", pem(new.authority.intermediate).encode())
    _write(directory / "signer.key", key_pem(signer))
    _write(directory / "admin.token", os.urandom(32).hex().encode() + b"\n")
    Store.create(directory / DATABASE, identity).close()
    _write(
        directory / FILE_NAME, render_config(config).encode()
    )  # last: its presence says that init got through
    made = open_state(directory)
    keep_metrics_token(made)
    return made


def keep_metrics_token(state: State) -> None:
    """Write the token that Prometheus is given, where it is missing or of another admin token.

    Raises :class:`StateError`.
    """
    file = state.directory / METRICS_TOKEN
    with suppress(OSError):
        if file.read_text().strip() == state.metrics_token:
            return
    try:
        file.unlink(missing_ok=True)
        _write(file, state.metrics_token.encode() + b"\n")
    except OSError as error:
        raise StateError(f"{file}: {error.strerror}") from error


def open_state(directory: Path, *, check: bool = False) -> State:
    """Open what ``init`` made; with ``check`` read the whole database first.

    Raises :class:`StateError`, ``ConfigError`` or ``StoreError``.
    """
    if not (directory / FILE_NAME).exists():
        if (directory / DATABASE).exists():
            raise StateError(
                f"{directory} is incomplete ({FILE_NAME} is missing); restore it, or remove it and init anew"
            )
        raise StateMissing(
            f"there is no controller in {directory}; "
            f"run `overlayd-controller init --state {directory} --network NAME` first"
        )
    config = load_config(directory / FILE_NAME)
    store = Store.open(directory / DATABASE, check=check)
    network = store.network()
    try:
        authority = load_authority(
            network.name,
            (directory / "ca/root.pem").read_bytes(),
            (directory / "ca/intermediate.pem").read_bytes(),
            (directory / "ca/intermediate.key").read_bytes(),
        )
        signer = serialization.load_pem_private_key((directory / "signer.key").read_bytes(), None)
        admin_token = (directory / "admin.token").read_text().strip()
    except OSError as error:
        raise StateError(
            f"{error.filename}: {error.strerror}; restore a copy of the state directory"
        ) from error
    except ValueError as error:
        raise StateError(
            f"a key or certificate in {directory} is damaged ({error}); restore a copy"
        ) from error
    if not isinstance(signer, Ed25519PrivateKey) or len(admin_token) < 32:
        raise StateError(f"signer.key or admin.token in {directory} is damaged; restore a copy")
    issuer = Issuer(authority, Signer(signer), address_plan(network.id, network.ipv4_pool))
    return State(directory, config, store, network, issuer, admin_token)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
