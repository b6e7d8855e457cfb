"""Checks of what the machine reaches: Ray's cluster and token, stores, data, detector models."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from fasray import storage
from fasray.clusters.diagnosis import Diagnosis, failed, note, ok, problem
from fasray.errors import DataError, FasrayError, SpecError
from fasray.execution.ray_address import check_ray_address, ray_address, without_credentials
from fasray.faces.detection import models
from fasray.faces.record import DEPTH_SIZE, PARSING_SIZE
from fasray.faces.sets.manifest import Manifest, read_manifest
from fasray.storage import retry

_TOKEN_FILE = Path("~/.ray/auth_token")
_SECONDS = "10"


def check_cluster() -> list[Diagnosis]:
    """Check whether a Ray answers at ``RAY_ADDRESS``, if that is set; nothing but a greeting is sent to it."""
    address = ray_address()
    if address in ("", "auto"):
        return []
    try:
        check_ray_address(address)
    except SpecError as error:
        return [failed("cluster", error)]
    return [ok("cluster", f"Ray answers at {without_credentials(address)}")]


def check_authentication() -> list[Diagnosis]:
    """Check which Ray a sweep would use, and whether it could log in; the token itself is never shown."""
    mode, address = os.environ.get("RAY_AUTH_MODE", ""), os.environ.get("RAY_ADDRESS", "")
    if mode not in ("", "token", "disabled"):
        return [problem("authentication", f"RAY_AUTH_MODE={mode} is not a mode of Ray", "set it to token or disabled")]
    if not address:
        if mode == "disabled":
            message = "a private Ray would start here without authentication"
            return [note("authentication", message, "unset RAY_AUTH_MODE: the default is token, with a fresh one")]
        return [ok("authentication", "a private Ray starts here, with a token of its own")]
    where = f"RAY_ADDRESS names a cluster, {without_credentials(address)}"
    if mode == "disabled":
        message = f"{where}, used without authentication"
        remedy = "whoever reaches such a cluster can run code there: start it with RAY_AUTH_MODE=token"
        return [note("authentication", message, remedy)]
    if mode == "":
        message = f"{where}, but RAY_AUTH_MODE is not set: head, workers and clients must agree on it"
        return [note("authentication", message, "set RAY_AUTH_MODE to token or disabled, as the cluster has it")]
    return [_token(where)]


def _token(where: str) -> Diagnosis:
    """Look for the token in the order in which Ray does."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return ok("authentication", f"{where}; token from RAY_AUTH_TOKEN")
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(named) if named else _TOKEN_FILE.expanduser()
    remedy = "copy the cluster's token there, or set RAY_AUTH_TOKEN; `ray get-auth-token --generate` makes a new one"
    try:
        empty = not file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return problem("authentication", f"{where}; mode token, but no token at {file}", remedy)
    if empty:
        return problem("authentication", f"{where}; mode token, but {file} is empty", remedy)
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return note("authentication", f"{where}; {file} can be read by others", f"chmod 600 {file}")
    return ok("authentication", f"{where}; token from {file}")


def check_data(uri: str) -> tuple[list[Diagnosis], Manifest | None]:
    """Read the manifest of a face set and compare the shards' names and sizes with it; their bytes are not read."""
    try:
        with _impatient():
            manifest = read_manifest(uri)
            there = storage.sizes(uri)
    except FasrayError as error:
        return [failed("data", error)], None
    about = f"{manifest.rows:,} faces of {manifest.image_size} px in {len(manifest.shards)} shards at {uri}"
    wrong = [shard.name for shard in manifest.shards if there.get(shard.name) != shard.bytes]
    if wrong:
        message = f"{about}: {len(wrong)} shards are missing or have another size; the first: {wrong[0]}"
        remedy = f"copy them again; then `fasray data verify {uri}`"
        return [problem("data", message, remedy, DataError.exit_code)], manifest
    return [ok("data", f"{about}; `fasray data verify` also checks every byte")], manifest


def pool_bytes(manifest: Manifest) -> int:
    """Return what the decoded faces of a set take on each node's disk."""
    return manifest.rows * (manifest.image_size**2 * 3 + DEPTH_SIZE**2 + PARSING_SIZE**2)


def check_output(uri: str) -> Diagnosis:
    """Write a small file where a run would, read it back and remove it."""
    name = f".fasray-doctor-{secrets.token_hex(6)}"
    probe, content = storage.join(uri, name), secrets.token_bytes(64)
    made = None if storage.is_remote(uri) else _first_missing(storage.local_path(uri))
    try:
        with _impatient():
            storage.check_access(uri)
            storage.write_bytes(probe, content)
            same = storage.read_bytes(probe) == content
            storage.remove(probe)
    except FasrayError as error:
        return failed("output", error)
    finally:
        if made is not None:
            _remove_empty(storage.local_path(uri), made)
    if not same:
        message = f"{uri} returned other bytes than were written"
        return problem("output", message, "do not keep runs there", DataError.exit_code)
    return ok("output", f"{uri} can be written and read")


def check_models() -> Diagnosis:
    """Check whether the face detector's model files are installed, in the tested version."""
    try:
        models.read_models((models.BACK, models.FULL, models.SHORT, models.MESH))
    except FasrayError as error:
        remedy = f"only `fasray data prepare` needs them: {models.INSTALL}"
        return note("detector models", error.what, remedy)
    return ok("detector models", "all installed, in the tested version")


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Wait seconds for a store that does not answer, not minutes; a value that the user has set counts."""
    mine = retry.VARIABLE not in os.environ
    if mine:
        os.environ[retry.VARIABLE] = _SECONDS
    try:
        yield
    finally:
        if mine:
            os.environ.pop(retry.VARIABLE, None)


def _first_missing(folder: Path) -> Path | None:
    """Return the topmost folder that writing below ``folder`` would make."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    return missing[-1] if missing else None


def _remove_empty(folder: Path, topmost: Path) -> None:
    with contextlib.suppress(OSError):  # not empty, or never made
        while folder != topmost.parent:
            folder.rmdir()
            folder = folder.parent
