"""The JSON API of Cloud Storage, and the XML API that TensorFlow reads by; objects are files below FOLDER/buckets."""

import base64
import hashlib
import json
import mimetypes
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import checks
import google_crc32c
from errors import ApiError, denied
from state import FORBIDDEN_BUCKET, State
from web import Request, Response, rule
from werkzeug.http import parse_options_header

# Smaller than anybody asks for, which is Google's right: who reads one page alone is caught.
_PAGE = 5
_MINIMUM_CHUNK = 256 * 1024


def _allow(state: State, permission: str, bucket: str) -> Path:
    """The folder of a bucket that there is, and that may be used."""
    if bucket == FORBIDDEN_BUCKET or permission in state.settings.deny:
        raise denied(permission, f"projects/_/buckets/{bucket}", "storage.googleapis.com")
    if bucket not in state.settings.buckets:
        raise ApiError("NOT_FOUND", "The specified bucket does not exist.")
    return state.bucket(bucket)


def _file(root: Path, name: str) -> Path:
    parts = name.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ApiError("INVALID_ARGUMENT", f"Invalid object name: '{name}' can't be a file's")
    # An object whose name ends with a slash stands for a folder.
    return root.joinpath(*parts, *[checks.FOLDER] * name.endswith("/"))


def _existing(root: Path, name: str) -> Path:
    path = _file(root, name)
    if not path.is_file():
        raise ApiError("NOT_FOUND", f"No such object: {root.name}/{name}")
    return path


def _generation(path: Path) -> int:
    """0 where there is no object."""
    return path.stat().st_mtime_ns // 1000 if path.is_file() else 0


def _resource(state: State, bucket: str, name: str, path: Path) -> dict[str, Any]:
    data, stat = path.read_bytes(), path.stat()
    when = datetime.fromtimestamp(stat.st_mtime, UTC).isoformat().replace("+00:00", "Z")
    extra = state.table("objects").get(f"{bucket}/{name}", {})
    return {
        "name": name,
        "bucket": bucket,
        "generation": str(_generation(path)),
        "metageneration": "1",
        "contentType": extra.get("contentType") or mimetypes.guess_type(name)[0] or "application/octet-stream",
        "metadata": extra.get("metadata", {}),
        "size": str(len(data)),
        "md5Hash": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
        "crc32c": base64.b64encode(google_crc32c.Checksum(data).digest()).decode(),
        "timeCreated": when,
        "updated": when,
    }


def _check_generation(request: Request, path: Path) -> None:
    wanted = request.args.get("ifGenerationMatch")
    if wanted is not None and int(wanted) != _generation(path):
        message = "At least one of the pre-conditions you specified did not hold."
        raise ApiError("FAILED_PRECONDITION", message, http=412)


def _get_bucket(state: State, request: Request, bucket: str) -> Any:
    _allow(state, "storage.buckets.get", bucket)
    location, *places = state.settings.buckets[bucket].split("+")
    dual = {"customPlacementConfig": {"dataLocations": places}} if places else {}
    return {"kind": "storage#bucket", "name": bucket, "location": location, **dual}


def _list_objects(state: State, request: Request, bucket: str) -> Any:
    root = _allow(state, "storage.objects.list", bucket)
    prefix, delimiter = request.args.get("prefix", ""), request.args.get("delimiter", "")
    names, folders = [], set()
    for name in checks.objects(state, bucket, prefix):
        rest = name[len(prefix) :]
        if delimiter and delimiter in rest:
            folders.add(prefix + rest.split(delimiter)[0] + delimiter)
        else:
            names.append(name)
    after = request.args.get("pageToken", "")
    names = [name for name in names if name > after]
    shown = names[: min(int(request.args.get("maxResults", _PAGE)), _PAGE)]
    answer: dict[str, Any] = {"items": [_resource(state, bucket, name, _file(root, name)) for name in shown]}
    if folders and not after:
        answer["prefixes"] = sorted(folders)
    return {**answer, "nextPageToken": shown[-1]} if len(names) > len(shown) else answer


def _get_object(state: State, request: Request, bucket: str, name: str) -> Any:
    path = _existing(_allow(state, "storage.objects.get", bucket), name)
    _check_generation(request, path)
    resource = _resource(state, bucket, name, path)
    return _media(request, path, resource) if request.args.get("alt") == "media" else resource


def _get_media(state: State, request: Request, bucket: str, name: str) -> Any:
    """The XML API."""
    path = _existing(_allow(state, "storage.objects.get", bucket), name)
    return _media(request, path, _resource(state, bucket, name, path))


def _media(request: Request, path: Path, resource: dict[str, Any]) -> Response:
    data = path.read_bytes()
    headers = {"X-Goog-Generation": resource["generation"], "X-Goog-Hash": f"crc32c={resource['crc32c']}"}
    if request.range and not data:
        raise ApiError("OUT_OF_RANGE", "The requested range cannot be satisfied.", http=416)
    answer = Response(data, headers=headers, content_type=resource["contentType"])
    return answer.make_conditional(request, accept_ranges=True, complete_length=len(data))


def _put(state: State, request: Request, bucket: str, name: str, data: bytes, extra: dict[str, Any]) -> Any:
    path = _file(state.bucket(bucket), name)
    _check_generation(request, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    state.table("objects")[f"{bucket}/{name}"] = extra
    resource = _resource(state, bucket, name, path)
    for key in ("crc32c", "md5Hash"):
        if extra.get(key, resource[key]) != resource[key]:
            path.unlink()
            raise ApiError("INVALID_ARGUMENT", f'Provided {key} "{extra[key]}" doesn\'t match "{resource[key]}".')
    return resource


def _upload(state: State, request: Request, bucket: str) -> Any:
    _allow(state, "storage.objects.create", bucket)
    kind, name, body = request.args.get("uploadType"), request.args.get("name", ""), request.get_data()
    if kind == "media":  # TensorFlow's client writes the empty object of a folder so
        return _put(state, request, bucket, name, body, {})
    if kind == "multipart":
        boundary = parse_options_header(request.content_type)[1]["boundary"]
        described, data = (part.split(b"\r\n\r\n", 1)[1][:-2] for part in body.split(f"--{boundary}".encode())[1:3])
        extra = json.loads(described)
        return _put(state, request, bucket, extra.get("name") or name, data, extra)
    if kind == "resumable":
        extra, session = json.loads(body or b"{}"), secrets.token_hex(16)
        name = extra.get("name") or name
        _check_generation(request, _file(state.bucket(bucket), name))
        state.table("uploads")[session] = (name, extra, bytearray())
        return Response(headers={"Location": f"{request.base_url}?uploadType=resumable&upload_id={session}"})
    raise ApiError("INVALID_ARGUMENT", f"uploadType: '{kind}'")


def _upload_chunk(state: State, request: Request, bucket: str) -> Any:
    session, body = request.args["upload_id"], request.get_data()
    if session not in state.table("uploads"):
        raise ApiError("NOT_FOUND", "No such upload session.")
    name, extra, data = state.table("uploads")[session]
    asked = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", request.headers.get("content-range", ""))
    if asked and asked[1] and int(asked[1]) != len(data):
        raise ApiError("INVALID_ARGUMENT", f"Content-Range: expected to start at {len(data)}", http=503)
    data += body
    if asked and (asked[3] == "*" or int(asked[3]) > len(data)):
        if asked[1] and len(body) % _MINIMUM_CHUNK:
            raise ApiError("INVALID_ARGUMENT", f"A chunk of {len(body)} bytes is no multiple of 256 KiB")
        return Response(status=308, headers={"Range": f"bytes=0-{len(data) - 1}"} if data else {})
    del state.table("uploads")[session]
    return _put(state, request, bucket, name, bytes(data), extra)


def _delete_object(state: State, request: Request, bucket: str, name: str) -> Any:
    root = _allow(state, "storage.objects.delete", bucket)
    path = _existing(root, name)
    _check_generation(request, path)
    path.unlink()
    state.table("objects").pop(f"{bucket}/{name}", None)
    # There are no folders in Cloud Storage that could be left empty.
    for parent in path.parents:
        if parent == root or any(parent.iterdir()):
            break
        parent.rmdir()
    return Response(status=204)


def _copy_object(state: State, request: Request, bucket: str, name: str, to: str, to_name: str) -> Any:
    source = _existing(_allow(state, "storage.objects.get", bucket), name)
    _allow(state, "storage.objects.create", to)
    extra = state.table("objects").get(f"{bucket}/{name}", {})
    return {"done": True, "resource": _put(state, request, to, to_name, source.read_bytes(), extra)}


_BUCKET = "/storage/v1/b/<bucket>"
_OBJECT = f"{_BUCKET}/o/<path:name>"
RULES = [
    rule("GET", _BUCKET, _get_bucket),
    rule("GET", f"{_BUCKET}/o", _list_objects),
    rule("POST", f"{_OBJECT}/rewriteTo/b/<to>/o/<path:to_name>", _copy_object),
    rule("GET", _OBJECT, _get_object),
    rule("GET", f"/download{_OBJECT}", _get_object),
    rule("DELETE", _OBJECT, _delete_object),
    rule("POST", f"/upload{_BUCKET}/o", _upload),
    rule("PUT", f"/upload{_BUCKET}/o", _upload_chunk),
    rule("GET", "/<bucket>/<path:name>", _get_media),
]
