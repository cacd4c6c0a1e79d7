"""Why a node was not let in. ``code`` goes to the agent as it stands
(`overlayd.protocol.controller.Denied`). Pure.
"""

from typing import ClassVar


class EnrolmentError(Exception):
    """Nothing was changed: no token was used up, no id taken."""

    code: ClassVar[str] = "denied"


class TokenUnknown(EnrolmentError):
    code = "token-unknown"


class TokenUsed(EnrolmentError):
    code = "token-used"


class TokenExpired(EnrolmentError):
    code = "token-expired"


class TokenForAnother(EnrolmentError):
    """The token is bound to another name."""

    code = "token-for-another"


class NameTaken(EnrolmentError):
    code = "name-taken"


class KeyTaken(EnrolmentError):
    code = "key-taken"


class AddressTaken(EnrolmentError):
    code = "address-taken"


class PrefixTaken(EnrolmentError):
    code = "prefix-taken"


class PrefixDenied(EnrolmentError):
    """The token does not grant the prefix."""

    code = "prefix-denied"


class BadRequest(EnrolmentError):
    """The request itself is malformed: key, CSR, name or prefix."""

    code = "bad-request"


class NetworkFull(EnrolmentError):
    code = "network-full"


class Unavailable(EnrolmentError):
    """The controller cannot keep anything at the moment (full disk, locked database)."""

    code = "unavailable"


class NotAMember(EnrolmentError):
    """The certificate's node was removed, or is none of this network."""

    code = "not-a-member"
