"""The settings of the store in which recordings of calls that are over lie."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from callflow.config import validators
from callflow.config.origins import OriginSettings


LIBRARY: Final = "obstore"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9!_.*'()-]+(?:/[A-Za-z0-9!_.*'()-]+)*")
_MISSING: Final = "RECORDINGS_URL is set, but the package for S3 is not installed: install it with `scripts/setup s3`"


def store_address(text: str) -> str:
    """Check the address of an object store, `s3://BUCKET` or `s3://BUCKET/PREFIX`; "" stays. Raises ValueError."""
    if not text:
        return text
    parts = urlsplit(text.rstrip("/"))
    prefix = parts.path.removeprefix("/")
    is_whole = parts.scheme == "s3" and not parts.query and not parts.fragment and _BUCKET.fullmatch(parts.netloc)
    if not is_whole or (prefix and not _PREFIX.fullmatch(prefix)) or ".." in prefix.split("/"):
        raise ValueError("must be s3://BUCKET or s3://BUCKET/PREFIX, without keys")
    return text.rstrip("/")


class RecordingSettings(OriginSettings):
    """Where our own recordings lie."""

    # The store of the recordings

    recordings_url: Annotated[str, AfterValidator(store_address)] = ""
    """Where our own recordings lie once their call is over: `s3://BUCKET/PREFIX`, in an object store that speaks S3.
    Needs the extra `s3`. Empty: in the folder `recordings` in `data_dir`."""
    aws_endpoint_url: Annotated[str, AfterValidator(validators.empty_or_api_base)] = ""
    """The address of that store, such as `https://s3.example.org`. Empty: Amazon's."""
    aws_region: str = "us-east-1"
    """Its region."""
    aws_access_key_id: Annotated[SecretStr, AfterValidator(validators.secret)] = SecretStr("")
    """The id of the key to it. Empty: what the machine's role at Amazon gives."""
    aws_secret_access_key: Annotated[SecretStr, AfterValidator(validators.secret)] = SecretStr("")
    """The key itself."""
    aws_session_token: Annotated[SecretStr, AfterValidator(validators.secret)] = SecretStr("")
    """What goes with a key that lives for a time only. Such a key is read at start, and never again."""

    def recording_problems(self) -> list[str]:
        """Return a line for each problem that keeps recordings from their store, as far as settings tell."""
        if not self.recordings_url:
            return []
        problems = [] if find_spec(LIBRARY) is not None else [_MISSING]
        if bool(self.aws_access_key_id) != bool(self.aws_secret_access_key):
            given, missing = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            if not self.aws_access_key_id:
                given, missing = missing, given
            problems.append(f"{missing} is not set, but {given} is: set both, or neither to use the machine's role")
        return problems
