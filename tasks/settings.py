"""Where things are: addresses and folders from the environment. What a run does is in `config`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "ANTIPODE_"
ARTIFACT_URLS = ("s3://", "gs://", "file:///")
RELATIVE_SQLITE, ABSOLUTE_SQLITE = "sqlite:///", "sqlite:////"


class Settings(BaseSettings):
    """Read from environment variables that begin with ANTIPODE_."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True)

    artifact_root: Path = Field(Path(".antipode"), description="Folder of vectors, reports, logs and policies.")
    artifact_url: str | None = Field(
        None,
        description="URL at which hosts share vectors, indexes, guides and policies (s3://bucket/folder, gs://… or "
        "file:///folder); the folder then holds copies. Empty: they are in the folder alone.",
    )
    artifact_wait_s: float = Field(
        300, ge=0, description="For how many seconds a run waits for a server behind that URL, before it stops."
    )
    database_url: str | None = Field(None, description="SQLite or PostgreSQL URL. Empty: a SQLite file in that folder.")
    database_wait_s: float = Field(
        300, ge=0, description="For how many seconds a run waits for a database that went away, before it stops."
    )
    openai_api_key: SecretStr | None = Field(None, description="Key for generate.backend openai and for judges.")
    page_url: str | None = Field(None, description="Address of the labelling page, as people open it; shown with runs.")
    sign_in_days: int = Field(30, ge=1, le=3650, description="For how many days a sign-in link works, from its issue.")
    gpu_limit: str | None = Field(None, description="Prefect concurrency limit that guards this host's GPU.")
    engine: Literal["local", "ray"] = Field(
        "local", description="Where models are loaded that only read or sample: on this host, or on a Ray cluster."
    )
    ray_actors: int | None = Field(
        None, ge=1, description="Models at once on the Ray cluster (1 or more). Empty: as many as it has room for."
    )
    ray_gpus_per_actor: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="GPUs of a model on the Ray cluster; a fraction shares one."
    )

    @field_validator("artifact_root", mode="before")
    @classmethod
    def _a_folder_and_no_url(cls, value: Any) -> Any:
        if "://" in str(value):
            raise ValueError(f"it is a folder of this host, got {value}; a URL belongs into ANTIPODE_ARTIFACT_URL")
        return value

    @field_validator("artifact_url")
    @classmethod
    def _a_url(cls, value: str | None) -> str | None:
        if not value:
            return None
        if "@" in value:  # it would be read in logs, and in the errors of runs
            raise ValueError(
                "a URL with a name or a key before @ is not taken; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "and take the key out of ANTIPODE_ARTIFACT_URL"
            )
        if not value.startswith(ARTIFACT_URLS) or value in ARTIFACT_URLS:
            raise ValueError(f"expected s3://bucket/folder or gs://bucket/folder, for a folder file:///…, got {value}")
        return value

    @field_validator("ray_gpus_per_actor")
    @classmethod
    def _one_gpu_or_less(cls, value: float) -> float:
        if value > 1:
            raise ValueError(
                f"a model takes one GPU or a fraction of it, got {value:g}; what needs several is split over them by "
                "--generate.tensor_parallel_size"
            )
        return value

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.artifact_root / 'antipode.db'}"

    @property
    def prices_file(self) -> Path:
        """What models behind servers cost, if the user has said so."""
        return self.artifact_root / "prices.toml"

    def variables(self) -> dict[str, str]:
        """The environment variables that mean the same places from every folder."""
        url = self.database
        if url.startswith(RELATIVE_SQLITE) and not url.startswith(ABSOLUTE_SQLITE):
            url = f"{RELATIVE_SQLITE}{Path(url.removeprefix(RELATIVE_SQLITE)).resolve()}"
        return {"ANTIPODE_ARTIFACT_ROOT": str(self.artifact_root.resolve()), "ANTIPODE_DATABASE_URL": url}
