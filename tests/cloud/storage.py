"""The JSON API of Cloud Storage; objects are files below FOLDER/buckets/<bucket>."""

import base64
import email.parser
import email.policy
import hashlib
import json
import mimetypes
import re
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import checks
import google_crc32c
from errors import ApiError, denied
from state import FORBIDDEN_BUCKET, NUMBER, State
from web import Answer, Request, Route, route

_PAGE = 1000
_SERVICE = "storage.googleapis.com"
_MINIMUM_CHUNK = 256 * 1024


def _allow(request: Request, permission: str, bucket: str) -> Path:
    """The bucket's folder.

    Raises:
        ApiError: It's another's, or there is none.
    """
    if bucket == FORBIDDEN_BUCKET or permission in request.state.settings.deny:
        raise denied(permission, f"projects/_/buckets/{bucket}", _SERVICE)
    if bucket not in request.state.settings.buckets:
        raise ApiError("NOT_FOUND", "The specified bucket does not exist.")
    return request.state.bucket(bucket)


def _file(root: Path, name: str) -> Path:
    parts = name.rstrip("/").split("/")
    if not name or name.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise ApiError("INVALID_ARGUMENT", f"Invalid object name: '{name}' can't be a file's")
    # An object whose name ends with a slash stands for a folder.
    return root.joinpath(*parts, *[checks.FOLDER] * name.endswith("/"))


def _existing(root: Path, bucket: str, name: str) -> Path:
    path = _file(root, name)
    if not path.is_file():
        raise ApiError("NOT_FOUND", f"No such object: {bucket}/{name}")
    return path


def _resource(request: Request, bucket: str, name: str, path: Path) -> dict[str, Any]:
    data, stat = path.read_bytes(), path.stat()
    when = datetime.fromtimestamp(stat.st_mtime, UTC).isoformat().replace("+00:00", "Z")
    link = f"{request.base}/storage/v1/b/{bucket}/o/{name.replace('/', '%2F')}"
    extra = request.state.table("objects").get(f"{bucket}/{name}", {})
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{name}/{stat.st_mtime_ns // 1000}",
        "selfLink": link,
        "mediaLink": f"{request.base}/download/storage/v1/b/{bucket}/o/{name.replace('/', '%2F')}?alt=media",
        "name": name,
        "bucket": bucket,
        "generation": str(stat.st_mtime_ns // 1000),
        "metageneration": "1",
        "contentType": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "storageClass": "STANDARD",
        "size": str(len(data)),
        "md5Hash": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
        "crc32c": base64.b64encode(google_crc32c.Checksum(data).digest()).decode(),
        "etag": f"{stat.st_mtime_ns // 1000}/1",
        "timeCreated": when,
        "updated": when,
        **{key: extra[key] for key in ("contentType", "metadata", "cacheControl") if extra.get(key)},
    }


def _check_generation(request: Request, path: Path, prefix: str = "if") -> None:
    now = path.stat().st_mtime_ns // 1000 if path.is_file() else 0
    wanted = request.query.get(f"{prefix}GenerationMatch")
    unwanted = request.query.get(f"{prefix}GenerationNotMatch")
    if (wanted is not None and int(wanted) != now) or (unwanted is not None and int(unwanted) == now):
        raise ApiError(
            "FAILED_PRECONDITION", "At least one of the pre-conditions you specified did not hold.", http=412
        )


def _get_bucket(request: Request) -> Answer:
    bucket = request.parts[0]
    _allow(request, "storage.buckets.get", bucket)
    location, *places = request.state.settings.buckets[bucket].upper().split("+")
    many = location in ("US", "EU", "ASIA")
    kind = "dual-region" if places else "multi-region" if many else "region"
    return Answer(
        {
            "kind": "storage#bucket",
            "id": bucket,
            "name": bucket,
            "projectNumber": NUMBER,
            "location": location,
            "locationType": kind,
            **({"customPlacementConfig": {"dataLocations": places}} if places else {}),
            "storageClass": "STANDARD",
            "etag": "CAE=",
            "metageneration": "1",
            "timeCreated": "2025-01-01T00:00:00.000Z",
            "updated": "2025-01-01T00:00:00.000Z",
        }
    )


def _list_objects(request: Request) -> Answer:
    bucket = request.parts[0]
    root = _allow(request, "storage.objects.list", bucket)
    prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
    names, folders = [], set()
    for name in checks.objects(request.state, bucket, prefix):
        rest = name[len(prefix) :]
        if delimiter and delimiter in rest:
            folders.add(prefix + rest.split(delimiter)[0] + delimiter)
        else:
            names.append(name)
    after = request.query.get("pageToken")
    start = base64.urlsafe_b64decode(after).decode() if after else request.query.get("startOffset", "")
    names = [name for name in names if name > start or (not after and name == start)]
    size = min(int(request.query.get("maxResults") or _PAGE), _PAGE)
    answer: dict[str, Any] = {"kind": "storage#objects"}
    answer["items"] = [_resource(request, bucket, name, _file(root, name)) for name in names[:size]]
    if folders and not after:
        answer["prefixes"] = sorted(folders)
    if len(names) > size:
        answer["nextPageToken"] = base64.urlsafe_b64encode(names[size - 1].encode()).decode()
    return Answer(answer)


def _get_object(request: Request) -> Answer:
    bucket, name = request.parts
    path = _existing(_allow(request, "storage.objects.get", bucket), bucket, name)
    _check_generation(request, path)
    resource = _resource(request, bucket, name, path)
    if request.query.get("alt") != "media":
        return Answer(resource)
    data = path.read_bytes()
    headers = {
        "Content-Type": resource["contentType"],
        "X-Goog-Generation": resource["generation"],
        "X-Goog-Hash": f"crc32c={resource['crc32c']},md5={resource['md5Hash']}",
        "X-Goog-Stored-Content-Length": str(len(data)),
        "ETag": resource["etag"],
    }
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if not asked or not any(asked.groups()):
        return Answer(data, headers=headers)
    first = int(asked[1]) if asked[1] else max(len(data) - int(asked[2]), 0)
    last = min(int(asked[2]), len(data) - 1) if asked[1] and asked[2] else len(data) - 1
    if first > last:
        raise ApiError("OUT_OF_RANGE", "The requested range cannot be satisfied.", http=416)
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Answer(data[first : last + 1], 206, headers)


def _get_media(request: Request) -> Answer:
    """The XML API, which TensorFlow reads by."""
    request.query["alt"] = "media"
    return _get_object(request)


def _put(request: Request, bucket: str, name: str, data: bytes, extra: dict[str, Any]) -> Answer:
    path = _file(request.state.bucket(bucket), name)
    _check_generation(request, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    request.state.table("objects")[f"{bucket}/{name}"] = extra
    resource = _resource(request, bucket, name, path)
    for key in ("crc32c", "md5Hash"):
        if extra.get(key, resource[key]) != resource[key]:
            path.unlink()
            raise ApiError("INVALID_ARGUMENT", f'Provided {key} "{extra[key]}" doesn\'t match "{resource[key]}".')
    return Answer(resource)


def _upload(request: Request) -> Answer:
    bucket, kind = request.parts[0], request.query.get("uploadType")
    _allow(request, "storage.objects.create", bucket)
    content = request.headers.get("content-type", "")
    if kind == "media":  # TensorFlow's client writes the empty object of a folder so
        return _put(request, bucket, request.query.get("name", ""), request.body, {"contentType": content})
    if kind == "multipart":
        head = f"Content-Type: {content}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + request.body)
        described, content = message.get_payload()
        extra = {"contentType": content["content-type"], **json.loads(described.get_payload(decode=True))}
        # The parser changes line ends of the data, which lies between two boundaries.
        data = request.body.split(b"--" + message.get_boundary().encode())[2].split(b"\r\n\r\n", 1)[1][:-2]
        return _put(request, bucket, extra.get("name") or request.query.get("name", ""), data, extra)
    if kind == "resumable":
        extra = request.json()
        session = secrets.token_hex(16)
        name = extra.get("name") or request.query.get("name", "")
        _check_generation(request, _file(request.state.bucket(bucket), name))
        request.state.table("uploads")[session] = (bucket, name, extra, bytearray())
        where = f"{request.base}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={session}"
        return Answer(b"", headers={"Location": where, "X-GUploader-UploadID": session})
    raise ApiError("INVALID_ARGUMENT", f"uploadType: '{kind}'")


def _upload_chunk(request: Request) -> Answer:
    entry = request.state.table("uploads").get(request.query.get("upload_id", ""))
    if entry is None:
        raise ApiError("NOT_FOUND", "No such upload session.")
    bucket, name, extra, data = entry
    asked = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", request.headers.get("content-range", ""))
    if asked and asked[1] and int(asked[1]) != len(data):
        raise ApiError("INVALID_ARGUMENT", f"Content-Range: expected to start at {len(data)}", http=503)
    data += request.body
    if asked and (asked[3] == "*" or int(asked[3]) > len(data)):
        if asked[1] and len(request.body) % _MINIMUM_CHUNK:
            raise ApiError("INVALID_ARGUMENT", f"A chunk of {len(request.body)} bytes is no multiple of 256 KiB")
        return Answer(b"", 308, {"Range": f"bytes=0-{len(data) - 1}"} if data else {})
    del request.state.table("uploads")[request.query["upload_id"]]
    return _put(request, bucket, name, bytes(data), extra)


def _delete_object(request: Request) -> Answer:
    bucket, name = request.parts
    root = _allow(request, "storage.objects.delete", bucket)
    path = _existing(root, bucket, name)
    _check_generation(request, path)
    path.unlink()
    request.state.table("objects").pop(f"{bucket}/{name}", None)
    # There are no folders in Cloud Storage that could be left empty.
    for parent in path.parents:
        if parent == root or any(parent.iterdir()):
            break
        parent.rmdir()
    return Answer(b"", 204)


def _copy_object(request: Request) -> Answer:
    bucket, name, to_bucket, to_name = request.parts
    source = _existing(_allow(request, "storage.objects.get", bucket), bucket, name)
    target = _file(_allow(request, "storage.objects.create", to_bucket), to_name)
    _check_generation(request, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    objects = request.state.table("objects")
    objects[f"{to_bucket}/{to_name}"] = dict(objects.get(f"{bucket}/{name}", {}))
    resource = _resource(request, to_bucket, to_name, target)
    size = resource["size"]
    return Answer(
        {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": size,
            "objectSize": size,
            "done": True,
            "resource": resource,
        }
    )


_BUCKET, _OBJECT = r"/storage/v1/b/([^/]+)", r"/storage/v1/b/([^/]+)/o/(.+)"


def routes(state: State) -> list[Route]:
    """What Cloud Storage answers."""
    return [
        route("GET", _BUCKET, _get_bucket),
        route("GET", rf"{_BUCKET}/o", _list_objects),
        route("POST", r"/storage/v1/b/([^/]+)/o/(.+?)/rewriteTo/b/([^/]+)/o/(.+)", _copy_object),
        route("GET", rf"(?:/download)?{_OBJECT}", _get_object),
        route("DELETE", _OBJECT, _delete_object),
        route("POST", rf"/upload{_BUCKET}/o", _upload),
        route("PUT", rf"/upload{_BUCKET}/o", _upload_chunk),
        route("GET", r"/([a-z0-9][a-z0-9._-]+[a-z0-9])/(.+)", _get_media),
    ]
