"""Render docs/errors.md from the error codes.

``python docs/generators/errors_page.py`` prints it.
"""

import sys

from retinue_cli.data.error_codes import ERROR_CODES

_PAGE = """\
# Error codes

`python docs/generators/errors_page.py` prints this page from the codes.

A failed run has an `error_code` and an `error_message`. To list failures, run
[`retinue failures`](redrive.md), or:

```sh
.venv/bin/retinue query "select error_code, count(*) from failed_runs group by 1 order by 2 desc"
```

A failure is **retryable** if another call for the same image can succeed. Retinue then calls the
detector again when a new event names the image, for example after another upload of the same file.
A new detector version or new options create a new run key, to which earlier failures don't apply.
[`retinue replay`](redrive.md#replay) retries any failure.

## The image

{empty_file}
A truncated file with more than half of its picture isn't a failure. Detectors see the rest as
white, and the run has `truncated` set. To list such images:

```sh
.venv/bin/retinue query "select s3_uri, detector from latest_runs where truncated"
```

## The video

A detector of images processes a video [frame by frame](video.md#frames-on-your-own-machines). The
codes `empty_file`, `too_many_bytes` and `too_many_pixels` above apply, too, and these:

{not_a_video}
A video that ends early or is damaged in places isn't a failure if any picture can be decoded. The
run has `truncated` set, which `retinue run` and `retinue show` report.

## The object in S3

{object_not_found}
## The detector

{detector_timeout}
`retries_exhausted` and `unexpected_error` are recorded at the last receive that the queue's
redrive policy allows, or at the fifth without such a policy. Plugins document their own codes.

## Skips

A skipped run isn't a failure. A [route](routing.md) excluded the image, the detector was not
called, and nothing was billed. To list skips:

```sh
.venv/bin/retinue query "select detector, reason_code, count(*) from skipped_runs group by 1, 2"
```

{skipped_by_bucket}
Messages that name no image have no run: see the log events `malformed_message` and `event_ignored`
in [Monitor a worker](monitoring.md#logs).
"""
"""The page. A code in braces is replaced by the table of the codes from there to the next one."""

_TABLES = ("empty_file", "not_a_video", "object_not_found", "detector_timeout", "skipped_by_bucket")


def errors_page() -> str:
    """Return the page."""
    codes = list(ERROR_CODES)
    starts = [codes.index(code) for code in _TABLES]
    ends = [*starts[1:], len(codes)]
    tables = {
        code: _table(codes[start:end])
        for code, start, end in zip(_TABLES, starts, ends, strict=True)
    }
    return _PAGE.format_map(tables)


def _table(codes: list[str]) -> str:
    """Return the rows of these codes."""
    rows = ["| code | cause | retryable | action |", "|---|---|---|---|"]
    for code in codes:
        known = ERROR_CODES[code]
        rows.append(f"| `{code}` | {known.cause} | {known.retryable} | {known.action} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(errors_page())
