"""Error codes of failed and skipped runs: the cause of each, and the action that it needs."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """An error code, in the Markdown of the documentation.

    Attributes:
        cause: The cause.
        retryable: Whether another call for the same image can succeed.
        action: The action to take.
    """

    cause: str
    retryable: Literal["yes", "no", "as the detector says"]
    action: str


ERROR_CODES: dict[str, ErrorCode] = {
    "empty_file": ErrorCode(
        "The file has 0 bytes.",
        "no",
        "Upload the complete file.",
    ),
    "too_many_bytes": ErrorCode(
        "The file is larger than `RETINUE_MAX_IMAGE_BYTES`, or for frames of a video "
        "`RETINUE_MAX_VIDEO_BYTES`.",
        "no",
        "Reduce it, or raise the limit and upload it under another key.",
    ),
    "too_many_pixels": ErrorCode(
        "The header declares more than `RETINUE_MAX_IMAGE_PX` pixels, or decoding them takes more "
        "memory than `RETINUE_MAX_DECODING_BYTES`. Nothing was decoded.",
        "no",
        "Reduce it, or raise the limit and upload it under another key.",
    ),
    "unsupported_format": ErrorCode(
        "The content isn't a supported variant of JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF "
        "or HEIF. The name doesn't matter. HEIF (HEIC of iPhones) needs the extra "
        "`heif` of `retinue-sdk`.",
        "no",
        "Convert it. Give a video a [suffix of videos](video.md).",
    ),
    "corrupt_image": ErrorCode(
        "The file starts like an image but can't be decoded: it is damaged, or at least "
        "half of the picture is missing. A TIFF must be complete. A JPEG can have 100 scans.",
        "no",
        "Upload the complete file.",
    ),
    "invalid_image": ErrorCode(
        "A detector rejected the image without a specific code.",
        "as the detector says",
        "Read the message. Ask the plugin's author for a code.",
    ),
    "not_a_number": ErrorCode(
        "A detector on ONNX Runtime: the network returned NaN or infinity.",
        "no",
        "Check the image, and the model if it is your own.",
    ),
    "image_too_large_for_service": ErrorCode(
        "A `rekognition-…` detector: the file exceeds Amazon Rekognition's size limit.",
        "no",
        "Reduce it.",
    ),
    "rejected_by_service": ErrorCode(
        "A `rekognition-…` detector: the image is outside other limits of Amazon "
        "Rekognition, such as the minimum size.",
        "no",
        "Read the message.",
    ),
    "not_a_video": ErrorCode(
        "The key ends like a video's, such as `.mp4`, and the content is something "
        "else: an image, a playlist, a web page.",
        "no",
        "Upload the video itself, or give the object a suffix that matches its content.",
    ),
    "unsupported_codec": ErrorCode(
        "There is no decoder for its pictures. Or a `rekognition-video-…` detector: it "
        "isn't H.264 in MP4 or QuickTime.",
        "no",
        "Convert it; the message has a command.",
    ),
    "no_video_track": ErrorCode(
        "The file has no pictures, perhaps only sound or a cover.",
        "no",
        "Upload a file with pictures.",
    ),
    "corrupt_video": ErrorCode(
        "The header is damaged or missing, or none of the pictures can be decoded. In "
        "most MP4 files the header is at the end, so it is missing if the recording or "
        "the upload was cut off.",
        "no",
        "Upload the complete file.",
    ),
    "video_too_large_for_service": ErrorCode(
        "A `rekognition-video-…` detector: the file exceeds Amazon Rekognition's 10 GB or 6 hours.",
        "no",
        "Cut it into parts.",
    ),
    "video_too_long": ErrorCode(
        "It takes more than 24 hours.",
        "no",
        "Cut it into parts.",
    ),
    "frame_without_file": ErrorCode(
        "The detector needs the image's file, and a frame of a video has only pixels.",
        "no",
        "Remove the detector from `RETINUE_VIDEO`.",
    ),
    "decoder_timeout": ErrorCode(
        "Decoding up to the next sampled frame exceeded `RETINUE_DETECTOR_TIMEOUT_SECONDS`.",
        "yes",
        "Raise the limit, sample more often, or convert the video.",
    ),
    "decoder_crashed": ErrorCode(
        "The decoder's process ended: a crash in native code, or more than 3 GiB of memory.",
        "yes",
        "Convert the video; the message has a command.",
    ),
    "job_failed": ErrorCode(
        "The service failed to process the video, in three jobs.",
        "yes",
        "Read the message. Then `retinue replay --error-code job_failed`.",
    ),
    "job_lost": ErrorCode(
        "The service forgot three jobs before their results were read, for example because no "
        "worker ran for a week.",
        "yes",
        "Run a worker. Then `retinue replay --error-code job_lost`.",
    ),
    "object_not_found": ErrorCode(
        "The object or version doesn't exist, or the version is a delete marker. The "
        "image counts as deleted.",
        "yes",
        "None, if it was deleted on purpose.",
    ),
    "bucket_not_found": ErrorCode(
        "The bucket doesn't exist. The image counts as deleted.",
        "yes",
        "None, if it was deleted on purpose.",
    ),
    "object_replaced": ErrorCode(
        "In an unversioned bucket, another upload replaced the object before it was "
        "read, or [may have been read](delivery.md#what-counts-as-deleted) instead.",
        "yes",
        "None: the other upload has its own event. Enable versioning to process both.",
    ),
    "access_denied": ErrorCode(
        "S3 refuses this object but serves others. If S3 refuses all, the worker pauses "
        "and records nothing.",
        "yes",
        "Check the object's owner and key, and the bucket policy. Then `retinue replay "
        "--error-code access_denied`.",
    ),
    "kms_key_unavailable": ErrorCode(
        "The object's KMS key is disabled, deleted or not allowed, and other objects are readable.",
        "yes",
        "Enable the key, or copy the object with another key. Then `retinue replay "
        "--error-code kms_key_unavailable`.",
    ),
    "bucket_in_other_region": ErrorCode(
        "A `rekognition-…` detector: this bucket, but not others, is in another region.",
        "yes",
        "Send these images to a pool in that region.",
    ),
    "object_archived": ErrorCode(
        "The object is in an archive storage class, or an archive tier of Intelligent-Tiering.",
        "yes",
        "Restore it, then upload it again or copy it to another key to create an event.",
    ),
    "detector_timeout": ErrorCode(
        "A call exceeded `RETINUE_DETECTOR_TIMEOUT_SECONDS`; all images of its batch "
        "fail. After three timeouts in a row, [the worker pauses "
        "instead](delivery.md#hanging-detectors).",
        "yes",
        "Find the cause. Make batches smaller, or raise the limit.",
    ),
    "invalid_result": ErrorCode(
        "The number of results differs from the number of images, a result has the "
        "wrong type, or it can't be stored: more than `RETINUE_MAX_DETECTIONS`, more "
        "than `RETINUE_MAX_RESPONSE_BYTES`, NaN, NUL or broken Unicode. For a video, the "
        "limits are `RETINUE_MAX_VIDEO_DETECTIONS` and eight times "
        "`RETINUE_MAX_RESPONSE_BYTES`.",
        "yes",
        "Fix the detector, or raise the limit.",
    ),
    "retries_exhausted": ErrorCode(
        "The detector raised `RetriableError` until the message had no receive left.",
        "yes",
        "Check the service it depends on for throttling or an outage.",
    ),
    "detector_crashed": ErrorCode(
        "The detector's own process ended during the call: by a crash in native code at "
        "every receive of the message, or [for lack of memory](delivery.md#resource-shortages) "
        "by its own limit or the kernel's.",
        "yes",
        "The message has the signal or exit status. Fix the detector, or give it more memory.",
    ),
    "filter_failed": ErrorCode(
        "A plugin's `retinue_filter_detections` raised, or returned something other "
        "than detections. Unfiltered results aren't recorded.",
        "yes",
        "See the traceback at the log event `filter_failed`. Fix or uninstall the plugin.",
    ),
    "resources_exhausted": ErrorCode(
        "The image alone needs more memory, files, threads or disk space than available, "
        "[while other images or other detectors succeed]"
        "(delivery.md#resource-shortages).",
        "yes",
        "Give the worker more, or exclude such images with a route.",
    ),
    "unexpected_error": ErrorCode(
        "The detector raised an unexpected exception at every receive of the message.",
        "yes",
        "See the traceback at the log event `detector_raised`. Fix the detector.",
    ),
    "skipped_by_bucket": ErrorCode(
        "The bucket's name matches no pattern.",
        "yes",
        "None, if the route is correct.",
    ),
    "skipped_by_key": ErrorCode(
        "The key matches no pattern.",
        "yes",
        "None, if the route is correct.",
    ),
    "skipped_by_extension": ErrorCode(
        "The key has a different extension.",
        "yes",
        "None, if the route is correct.",
    ),
    "skipped_by_size": ErrorCode(
        "The file is smaller or larger than the route allows.",
        "yes",
        "None, if the route is correct.",
    ),
    "skipped_by_content_type": ErrorCode(
        "The Content-Type matches no pattern.",
        "yes",
        "Check the uploader: the default is `binary/octet-stream`.",
    ),
    "skipped_by_metadata": ErrorCode(
        "A user metadata name is missing, or its value doesn't match.",
        "yes",
        "Check the uploader.",
    ),
    "skipped_by_tags": ErrorCode(
        "A tag is missing, or its value doesn't match.",
        "yes",
        "Set tags with the upload: S3 sends no upload event for later tags.",
    ),
    "skipped_by_pixels": ErrorCode(
        "The width or height is outside the route's range.",
        "yes",
        "None, if the route is correct.",
    ),
    "skipped_by_findings": ErrorCode(
        "The other detector succeeded without the required findings.",
        "yes",
        "None, or a different `min_confidence`.",
    ),
    "skipped_unknown": ErrorCode(
        "The other detector failed or was itself skipped.",
        "yes",
        'Fix that failure, or set `"if_unknown": "run"`.',
    ),
}
"""All codes of the worker and of Retinue's own detectors, as docs/errors.md lists them."""
