"""What was read in, from which file, when and by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped

from referrals.kernel.errors import RefusedError, RuleBrokenError, UnavailableError
from referrals.kernel.orm import Identified, personal, public

#: The formats read in, as they stand in `source` columns and in the log.
FACILITIES: Final = "facilities_csv"
SERVICES: Final = "hsds_3_0"
FORMATS: Final = (FACILITIES, SERVICES)


class OtherAgencyError(RuleBrokenError):
    """The facility is here already, under another agency than the one named for this import."""

    code = "other_agency"


class OtherOrganizationError(RuleBrokenError):
    """The row, or a part of it, is another organization's."""

    code = "other_organization"


class AlreadyImportedError(RuleBrokenError):
    """Somebody else read the same row in meanwhile: there is nothing left to do."""

    code = "already_imported"


class NotActiveError(RuleBrokenError):
    """The service is new here and its source says that it takes nobody."""

    code = "not_active"


class ImportStoppedError(UnavailableError):
    """A row could not be put on record. What came before it is in; the same file again goes on from there."""

    code = "import_stopped"


class TooManyRowsError(RefusedError):
    """The list has more rows than a file takes; `facts` say how many it does."""

    code = "too_many_rows"
    status = 422


class ImportedFile(Identified):
    """One run of an importer over one file: how many rows went where. The rows' own events say the rest.

    `organization_id` is whose run it was; without one it was the operator's, for the whole installation.
    """

    __tablename__ = "imported_file"
    __table_args__ = (CheckConstraint("format IN ('facilities_csv', 'hsds_3_0')", name="format"),)

    organization_id: Mapped[UUID | None] = public(ForeignKey("organization.id"), index=True)
    format: Mapped[str] = public()
    #: SHA-256 of the file's bytes, in hex: the same file is known again.
    digest: Mapped[str] = public()
    name: Mapped[str] = personal()
    added: Mapped[int] = public()
    changed: Mapped[int] = public()
    unchanged: Mapped[int] = public()
    refused: Mapped[int] = public()
    imported_at: Mapped[datetime] = public()
    imported_by: Mapped[UUID | None] = public()
    #: The rows somebody has to know of (`Report.details()`), so that an organization can look them up again.
    report: Mapped[dict[str, Any] | None] = personal(JSON(none_as_null=True))

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return self.added + self.changed + self.unchanged + self.refused
