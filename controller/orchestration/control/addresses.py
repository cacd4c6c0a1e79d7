"""Addresses of routes within the overlay: each has one as long as it is there. Pure."""

from collections.abc import Mapping
from ipaddress import IPv4Network

DEFAULT_PREFIX = "100.127.0.0/16"


def assign(routes: Mapping[str, str], prefix: IPv4Network) -> dict[str, str]:
    """Return the address of each route; ``routes`` has the one that it has, empty for none yet. An address
    out of another prefix, or that two have, is given anew. No address is returned for routes that find none
    free.
    """
    made: dict[str, str] = {}
    taken: set[int] = set()
    first, last = int(prefix.network_address) + 1, int(prefix.broadcast_address) - 1
    for name, address in sorted(routes.items()):
        number = _number(address)
        if number is not None and first <= number <= last and number not in taken:
            made[name] = address
            taken.add(number)
    number = first
    for name in sorted(routes.keys() - made.keys()):
        while number in taken:
            number += 1
        if number > last:
            break
        made[name] = str(prefix.network_address + (number - int(prefix.network_address)))
        taken.add(number)
    return made


def _number(address: str) -> int | None:
    try:
        return int(IPv4Network(address).network_address)
    except ValueError:
        return None
