"""Parse every answer with botocore's parsers, including answers of proxies and broken servers."""

from collections.abc import Mapping
from http.client import responses
from typing import Any

from botocore.exceptions import BotoCoreError
from botocore.parsers import ResponseParserError, ResponseParserFactory

from retinue_aws.json_text import read_json

_LONGEST_QUOTE_BYTES = 200


class UnreadableAnswerError(BotoCoreError, ResponseParserError):
    """The status is a success, but the body isn't an answer of the operation."""

    fmt = "the answer with HTTP status {status} {reason}: {body}"


class AnswerParser:
    """A parser of botocore's for all answers of a protocol.

    botocore's parsers raise anything (``AttributeError``, ``UnicodeDecodeError``,
    ``RecursionError``) for an error answer with an unusual body, and read some pages of proxies as
    an empty answer.

    Args:
        protocol: The protocol, as botocore names it.
        parser: botocore's parser for it.
    """

    def __init__(self, protocol: str, parser: Any) -> None:
        self._protocol = protocol
        self._parser = parser

    def parse(self, response: Mapping[str, Any], shape: Any) -> dict[str, Any]:
        """Return an answer in botocore's form.

        An error answer always has a code and a message, which are text. The code is the HTTP status
        if the body has none.

        Args:
            response: The answer in the form of botocore's parsers.
            shape: The shape of the operation's result, or of an error of the service.

        Raises:
            UnreadableAnswerError: The status is a success, but the body can't be read.
        """
        if shape is not None and shape.metadata.get("exception", False):
            return self._parsed(response, shape) or {}
        if response["status_code"] < 300:
            return self._success(response, shape)
        parsed = self._parsed(response, shape)
        told = (parsed or {}).get("Error")
        if parsed is None or not isinstance(told, dict) or not told.get("Code"):
            return _by_status(response)
        return parsed

    def _success(self, response: Mapping[str, Any], shape: Any) -> dict[str, Any]:
        try:
            reason = self._wrong(response["body"])
            parsed: object = None if reason else self._parser.parse(response, shape)
        except Exception as error:  # botocore's parsers raise anything
            raise unreadable(response, f"can't be read ({type(error).__name__})") from error
        if not isinstance(parsed, dict):
            raise unreadable(response, reason or "isn't an object")
        return parsed

    def _wrong(self, body: object) -> str:
        """Return the problem of a body that botocore would read as an empty answer."""
        if not isinstance(body, bytes) or not body:
            return ""
        if self._protocol == "json":
            try:
                return "" if isinstance(read_json(body), dict) else "isn't a JSON object"
            except (ValueError, RecursionError):
                return "isn't JSON"
        page = body[:64].lstrip().lower().startswith((b"<html", b"<!doctype html"))
        return "is a page" if page else ""

    def _parsed(self, response: Mapping[str, Any], shape: Any) -> dict[str, Any] | None:
        """Return botocore's reading of an error answer; ``None`` if it has none."""
        try:
            parsed = self._parser.parse(response, shape)
            told = parsed.get("Error", {})
            if not isinstance(told.get("Code", ""), str):
                return None
            for name in told.keys() & {"Code", "Message", "QueryErrorCode"}:
                told[name] = str(told[name]).encode(errors="replace").decode()
        except Exception:  # noqa: BLE001 - botocore's parsers raise anything
            return None
        return parsed  # type: ignore[no-any-return]


class AnswerParserFactory(ResponseParserFactory):
    """Creates ``AnswerParser`` for clients of botocore."""

    def create_parser(  # type: ignore[override]  # it has the one method that clients call
        self, protocol_name: str
    ) -> AnswerParser:
        """Return a parser of a protocol's answers."""
        return AnswerParser(protocol_name, super().create_parser(protocol_name))


def unreadable(response: Mapping[str, Any], reason: str) -> UnreadableAnswerError:
    """Return the error for an unreadable answer with a status of success."""
    body = response["body"]
    quote = body[:_LONGEST_QUOTE_BYTES] if isinstance(body, bytes) else "(a stream)"
    return UnreadableAnswerError(status=response["status_code"], reason=reason, body=repr(quote))


def _by_status(response: Mapping[str, Any]) -> dict[str, Any]:
    status = response["status_code"]
    headers = {str(name).lower(): value for name, value in response["headers"].items()}
    return {
        "Error": {"Code": str(status), "Message": responses.get(status, "")},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
