"""What sinks of lines can be told in a topology."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from dtopipe.model.errors import SinkDependencyError, SinkOptionError
from dtopipe.model.parts import PathText, SinkPart
from dtopipe.model.policy import Layout
from dtopipe.sinks.text.excel import ExcelForm
from dtopipe.sinks.text.limits import EXCEL


class CsvOptions(SinkPart):
    """CSV after RFC 4180: a header line, then a line a row; or as a spreadsheet opens it right (dialect: excel)."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")
    dialect: Literal["rfc4180", "excel"] = Field(
        default="rfc4180",
        description="excel: seconds from the start, a date, and columns like tc1 [degC], for a spreadsheet.",
    )
    locale: str | None = Field(
        default=None, description="dialect excel: de_DE and the like, whose decimal sign it has; needs the extra excel."
    )
    decimal: Literal[".", ",", "point", "comma"] | None = Field(
        default=None, description="dialect excel: the decimal sign, if not by its locale; default: point."
    )
    delimiter: Literal[",", ";", "comma", "semicolon", "tab"] | None = Field(
        default=None, description="dialect excel: between cells; default: semicolon where the decimal sign is a comma."
    )

    @field_validator("delimiter", mode="before")
    @classmethod
    def _tab_by_its_name(cls, value: Any) -> Any:
        return "tab" if value == "\t" else value

    @field_validator("dialect")
    @classmethod
    def _excel_is_wide(cls, value: str, info: ValidationInfo) -> str:
        if value == EXCEL and info.data.get("layout") is Layout.LONG:
            raise SinkOptionError(None, "excel has no layout long", "take out layout, or this line")
        return value

    @field_validator("locale", "decimal", "delimiter")
    @classmethod
    def _fits(cls, value: str | None, info: ValidationInfo) -> str | None:
        known = info.data
        if value is None or "dialect" not in known:
            return value
        if known["dialect"] != EXCEL:
            raise SinkOptionError(None, f"dialect {known['dialect']} has none", "add dialect: excel")
        given: dict[str, Any] = {**known, str(info.field_name): value}
        try:
            ExcelForm.of(given.get("locale"), given.get("decimal"), given.get("delimiter"))
        except SinkDependencyError as error:
            raise SinkOptionError(None, error.message, error.remedy) from error
        return value


class JsonlOptions(SinkPart):
    """JSON Lines: an object a row."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")
