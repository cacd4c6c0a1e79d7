"""The file by which kubectl finds the API and is let in. Pure: the state is open already."""

import base64

from controller.config import ConfigError, advertised_host, split_address
from controller.state import State


def kubeconfig(state: State, server: str | None = None) -> str:
    """Return a kubeconfig; it contains the admin token. ``server`` is HOST:PORT, by default where the API
    listens.

    Raises :class:`ConfigError` where no API is served.
    """
    section = state.config.orchestration
    if section is None:
        raise ConfigError("applications are not served: controller.toml has no [orchestration]")
    host, port = split_address(server or section.listen, "--server" if server else "orchestration.listen")
    if host in ("", "0.0.0.0", "::"):  # any address: those who reach it from elsewhere do so as agents do
        host = advertised_host(state.config.advertise[0])
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    name = state.network.name
    authority = base64.b64encode(state.issuer.authority.root_pem.encode()).decode()
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster:
    server: https://{where}
    certificate-authority-data: {authority}
users:
- name: {name}-admin
  user:
    token: {state.admin_token}
contexts:
- name: {name}
  context: {{cluster: {name}, user: {name}-admin}}
current-context: {name}
"""
