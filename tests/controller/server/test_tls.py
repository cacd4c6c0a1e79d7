"""The server's leaf: renewed in time, also when the clock jumps."""

import time
from pathlib import Path

from cryptography import x509

from controller.config import Config
from controller.server.tls import ServerTls
from controller.state import create_state

YEAR = 365 * 86_400


def test_the_leaf_is_due_after_half_its_life_and_when_the_clock_goes_back(tmp_path: Path) -> None:
    config = Config(listen="127.0.0.1:0", advertise=("wss://ctl.example:7443",))
    with create_state(tmp_path / "state", "test", config) as state:
        now = time.time()
        tls = ServerTls(state, now)
        assert not tls.due(now) and not tls.due(now + 14 * 86_400)
        assert tls.due(now + 16 * 86_400)
        assert tls.due(now - 10 * YEAR)
        tls.renew(now - 10 * YEAR)
        assert not tls.due(now - 10 * YEAR)
        leaf = x509.load_pem_x509_certificates((tmp_path / "state/tls/server.pem").read_bytes())[0]
        assert leaf.not_valid_after_utc.timestamp() < now
        assert (tmp_path / "state/tls/server.key").stat().st_mode & 0o777 == 0o600
