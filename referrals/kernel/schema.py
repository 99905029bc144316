"""The words a command takes: bounded fields whose faults are codes.

One schema per command serves both doors; unknown fields are refused. A fault is a code (`required`, `too_long` …)
under the field's name; its sentence is made at the door. Text is kept as typed, except that it must be text: no NUL,
no control characters, no lone surrogates (PostgreSQL would answer them with a 500). What shows as nothing is no answer:
a name nobody can see stands in lists as an empty row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from typing import Any, Final, cast

from marshmallow import RAISE, Schema, ValidationError, fields, missing, pre_load, validate

from referrals.kernel.errors import InvalidInputError

_CODES = {
    "required": "required",
    "null": "required",
    "type": "wrong_type",
    "unknown": "unknown_field",
    "validator_failed": "not_accepted",
    "invalid": "not_accepted",
    "invalid_utf8": "not_text",
    "invalid_uuid": "not_an_id",
    "too_large": "too_large",
    "special": "not_accepted",
    "format": "not_a_date",
    "awareness": "not_a_time",
}
for _kind in (
    fields.Field,
    fields.String,
    fields.UUID,
    fields.Integer,
    fields.Number,
    fields.Boolean,
    fields.List,
    fields.Nested,
    fields.Dict,
):
    _kind.default_error_messages = _kind.default_error_messages | {
        key: _CODES[key] for key in _kind.default_error_messages if key in _CODES
    }


class Takes(Schema):
    """Base of every command's schema: unknown fields are refused, faults are codes."""

    error_messages = {"unknown": "unknown_field", "type": "wrong_type"}  # noqa: RUF012  # marshmallow's own contract

    class Meta:
        """Refuse what we do not know."""

        unknown = RAISE

    @pre_load
    def _null_is_left_out(self, given: Any, **_kwargs: Any) -> Any:
        """Read null as "left out" where that has a value of its own (no list is an empty one): commands rely on it."""
        if not isinstance(given, Mapping):
            return given  # the load itself says what is wrong with it
        return {name: value for name, value in given.items() if value is not None or not self._stands_in(name)}

    def _stands_in(self, name: Any) -> bool:
        one = self.fields.get(name) if isinstance(name, str) else None
        return one is not None and bool(one.allow_none) and one.load_default not in (None, missing)

    def understood(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the loaded values, or raise `InvalidInputError` with codes by field path (`goals.2`)."""
        if not isinstance(given, Mapping):
            raise InvalidInputError({"": ["wrong_type"]})
        try:
            return cast("dict[str, Any]", self.load(given))
        except ValidationError as error:
            raise InvalidInputError(dict(flat(error.messages_dict))) from None


class Nothing(Takes):
    """For a command that needs no words."""


def flat(messages: Mapping[Any, Any], path: str = "") -> Iterable[tuple[str, list[str]]]:
    """Turn marshmallow's nested messages into (path, codes)."""
    for key, value in messages.items():
        here = "" if key == "_schema" else str(key)
        where = f"{path}.{here}" if path and here else path or here
        if isinstance(value, Mapping):
            yield from flat(value, where)
        else:
            yield where, [str(code) for code in value]


class Text(fields.String):
    """Text a person typed."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        """Refuse what is no text."""
        text = super()._deserialize(value, attr, data, **kwargs)
        if any(unicodedata.category(sign) in {"Cc", "Cs"} and sign not in "\n\r\t" for sign in text):
            raise ValidationError("not_text")
        return text


class Line(Text):
    """One line of text, without space around it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        """Refuse line breaks, drop outer space."""
        text = super()._deserialize(value, attr, data, **kwargs).strip()
        if any(sign in text for sign in "\n\r\t\u2028\u2029"):
            raise ValidationError("one_line")
        return text


#: Formatting that shows nevertheless: the number marks that Arabic, Syriac and Kaithi set before digits.
_SEEN_FORMATS: Final = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
#: What Unicode lets a font leave out though it is no formatting: fillers, variation selectors, what is set aside for
#: more of them; and the two signs that are drawn empty.
_LEFT_OUT: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001d159\U000e0000-\U000e0fff]"
)


def shows(text: str) -> bool:
    """Whether anything of a text can be seen: it is more than spaces, joiners, marks of direction and fillers."""
    return any(_is_seen(sign) for sign in text)


def _is_seen(sign: str) -> bool:
    if unicodedata.category(sign) in {"Zs", "Zl", "Zp", "Cc", "Cf"}:
        return _SEEN_FORMATS.match(sign) is not None
    return _LEFT_OUT.match(sign) is None


class Day(fields.Date):
    """A calendar day, YYYY-MM-DD, between 1900 and 2199."""

    default_error_messages = {"invalid": "not_a_date", "required": "required", "null": "required"}  # noqa: RUF012

    def __init__(self, **kwargs: Any) -> None:
        """Take ISO days alone."""
        super().__init__(format="iso", **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:
        """Refuse years nobody means."""
        if not isinstance(value, str) or len(value) != 10:  # noqa: PLR2004  # the length of YYYY-MM-DD
            raise ValidationError("not_a_date")
        day = super()._deserialize(value, attr, data, **kwargs)
        if not 1900 <= day.year <= 2199:  # noqa: PLR2004
            raise ValidationError("not_a_date")
        return day


class Whole(fields.Integer):
    """A whole number; a Boolean or 1.5 is none."""

    def __init__(self, **kwargs: Any) -> None:
        """Be strict."""
        super().__init__(strict=True, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        """Refuse Booleans and numbers beyond 2^53, which JSON readers disagree about."""
        if isinstance(value, bool) or (
            isinstance(value, str) and not (value.isascii() and value.removeprefix("-").isdigit())
        ):
            raise ValidationError("not_a_number")
        number = super()._deserialize(int(value[:20]) if isinstance(value, str) else value, attr, data, **kwargs)
        if abs(number) >= 2**53:
            raise ValidationError("too_large")
        return number


class YesNo(fields.Boolean):
    """Yes or no: JSON's true and false, a form's `yes`, `no`, `on`."""

    truthy = {True, "true", "yes", "on"}  # noqa: RUF012
    falsy = {False, "false", "no", "off"}  # noqa: RUF012
    default_error_messages = {"invalid": "not_accepted", "required": "required", "null": "required"}  # noqa: RUF012

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        """Refuse 1 and 0, which equal True and False in Python."""
        if not isinstance(value, bool | str):
            raise ValidationError("not_accepted")
        return super()._deserialize(value, attr, data, **kwargs)


def _optional(required: bool, default: Any = None) -> dict[str, Any]:
    return {"required": True} if required else {"load_default": default, "allow_none": True}


def _length(least: int, most: int) -> validate.Validator:
    class Bounded(validate.Length):
        def __call__(self, value: Any) -> Any:
            if len(value) < least:
                raise ValidationError("required" if least == 1 else "too_short")
            if len(value) > most:
                raise ValidationError("too_long")
            return value

    return Bounded(min=least, max=most)


def _written(least: int, most: int) -> validate.Validator:
    bounded = _length(least, most)

    class Written(validate.Length):
        def __call__(self, value: Any) -> Any:
            if value and not shows(value):
                raise ValidationError("required")
            return bounded(value)

    return Written(min=least, max=most)


def text(most: int = 4000, *, least: int = 1, required: bool = True) -> Text:
    """Text of several lines, kept as typed; at most `most` characters, of which one shows."""
    return Text(validate=_written(least, most), **_optional(required))


def line(most: int = 200, *, least: int = 1, required: bool = True) -> Line:
    """One line, of which something shows."""
    return Line(validate=_written(least, most), **_optional(required))


def secret(most: int = 128) -> fields.String:
    """A password or code, as typed."""
    return Text(required=True, validate=_length(1, most), metadata={"format": "password"})


def code(options: Iterable[str] | type[StrEnum], *, required: bool = True, default: str | None = None) -> fields.String:
    """One of a closed list of codes."""
    choices = [str(option) for option in options]
    return Text(
        validate=validate.OneOf(choices, error="not_a_choice"), **_optional(required and default is None, default)
    )


def codes(options: Iterable[str] | type[StrEnum], *, least: int = 1, required: bool = True) -> fields.List[Any]:
    """Some of a closed list, each once."""
    choices = [str(option) for option in options]
    inner = Text(validate=validate.OneOf(choices, error="not_a_choice"))
    return fields.List(
        inner, validate=[_length(least if required else 0, len(choices)), _once], **_optional(required, [])
    )


def many(inner: fields.Field[Any], *, least: int = 0, most: int = 100) -> fields.List[Any]:
    """A list of the same kind of thing."""
    return fields.List(inner, validate=_length(least, most), **_optional(least > 0, []))


def _once(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValidationError("repeated")
    return values


def day(*, required: bool = True) -> Day:
    """A calendar day."""
    return Day(**_optional(required))


def whole(least: int, most: int, *, required: bool = True) -> Whole:
    """A whole number between two bounds, both included."""
    return Whole(validate=validate.Range(least, most, error="out_of_range"), **_optional(required))


def yes_no(*, required: bool = False) -> YesNo:
    """Yes or no; absent means no unless it is required (a form sends nothing for an empty box)."""
    return YesNo(required=True) if required else YesNo(load_default=False)


def uid(*, required: bool = True) -> fields.UUID:
    """An id of something in the service."""
    return fields.UUID(**_optional(required))


def uids(*, least: int = 1, most: int = 100) -> fields.List[Any]:
    """Several ids, each once."""
    return fields.List(fields.UUID(), validate=[_length(least, most), _once], **_optional(least > 0, []))
