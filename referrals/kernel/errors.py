"""Why the house refuses. Each refusal has one stable code, the same at both doors; its words are made at the door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

FieldFaults = Mapping[str, Sequence[str]]


class RefusedError(Exception):
    """Base of every refusal a caller can meet.

    `facts` holds values that the sentence at the door needs (an id, an instant, a count): never content of a record.
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400

    def __init__(self, **facts: Any) -> None:
        """Keep the facts; the message of the exception is the code alone, so that nothing personal reaches a log."""
        super().__init__(self.code)
        self.facts = facts


class NotFoundError(RefusedError):
    """There is no such thing, or this actor may not know that there is (S-203)."""

    code = "not_found"
    status = 404


class NotPermittedError(RefusedError):
    """The actor may see this but may not do that to it."""

    code = "not_permitted"
    status = 403


class SignInNeededError(RefusedError):
    """Nobody is signed in, or not far enough (second factor, first password)."""

    code = "sign_in_needed"
    status = 401


class TokenRefusedError(RefusedError):
    """The API token is unknown, revoked or past its last day: one answer for all of them (S-808)."""

    code = "token_refused"
    status = 401


class TwoWaysInError(RefusedError):
    """A request carries a cookie and an API token: whose act it is would be a guess."""

    code = "two_ways_in"
    status = 400


class ScopeMissingError(RefusedError):
    """The API token's scopes do not include this; `facts` name the one that does."""

    code = "scope_missing"
    status = 403


class NotForTokensError(RefusedError):
    """This is done by people who signed in, whatever an API token's scopes are."""

    code = "not_for_tokens"
    status = 403


class InvalidInputError(RefusedError):
    """The form of words was wrong, field by field: `fields` maps a field's path to its codes."""

    code = "invalid_input"
    status = 422

    def __init__(self, fields: FieldFaults, **facts: Any) -> None:
        """Keep the codes by field, and the facts that their sentences need."""
        super().__init__(**facts)
        self.fields = fields


class UnreadableRequestError(RefusedError):
    """The body could not be read at all: broken JSON, a wrong encoding, nesting without end."""

    code = "unreadable_request"
    status = 400


class RuleBrokenError(RefusedError):
    """A rule of the domain says no. Subclasses carry the rule's own code."""

    code = "rule_broken"
    status = 409


@dataclass(frozen=True, slots=True)
class Change:
    """That somebody set a field since: who (None: the service itself), and when."""

    by: UUID | None
    at: datetime


class ChangedMeanwhileError(RuleBrokenError):
    """Somebody else changed the fields since this form or resource was read (R18, S-310).

    `changes` are those fields, as far as they are the command's; `version` is what they stand in now.
    """

    code = "changed_meanwhile"

    def __init__(self, changes: Mapping[str, Change] | None = None, version: int | None = None) -> None:
        """Keep what changed; the names of the fields are facts for a machine, too."""
        super().__init__(**({"fields": sorted(changes)} if changes else {}))
        self.changes = changes or {}
        self.version = version


class PreconditionFailedError(ChangedMeanwhileError):
    """The same, asked with If-Match."""

    status = 412


class PreconditionNeededError(RefusedError):
    """An edit of fields came without If-Match (S-310)."""

    code = "precondition_needed"
    status = 428


class KeyReusedError(RefusedError):
    """The idempotency key was used before, with another body (S-310)."""

    code = "key_reused"
    status = 422


class UnavailableError(RefusedError):
    """The act could not be recorded, so it did not happen (L1, S-602)."""

    code = "unavailable"
    status = 503


class UnrecordedWriteError(RuntimeError):
    """A programming fault: something was about to be written, or read, with no record of it."""
