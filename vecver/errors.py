"""Every error that vecver raises, and nothing else.

    VecverError                  code (stable, append-only) · hint (the next thing to do) · context
    ├── NotFoundError            also LookupError   repository, dataset, revision, document          exit 3, HTTP 404
    ├── ConflictError            a ref moved, a name is taken, a tag is fixed                        exit 4, HTTP 409
    ├── InvalidInputError        also ValueError    names, filters, vectors, recipes, documents      exit 2, HTTP 422
    ├── SpaceMismatchError       the query or batch was embedded in another space                    exit 2, HTTP 422
    ├── IntegrityError           bytes do not match their digest, unknown format                     exit 5, HTTP 500
    ├── NotPublishedError        this commit is not in this Milvus                                   exit 6, HTTP 409
    ├── GateError                a version is not worth what a gate demands                          exit 9, HTTP 409
    ├── ApprovalError            an alias moves once somebody else approves it                       exit 10, HTTP 202
    ├── AccessError              the API key is missing, unknown, or may not do this                 exit 8, HTTP 403
    └── BackendError             store, Milvus or embedder did not answer; says if retrying may help exit 7, HTTP 503

The category says what a caller can do; `code` says what happened, and never changes once released.

The next thing to do is a call for who writes Python, a command at the terminal, a request over HTTP. Where these
differ the hint is made by `say`: the string itself is for Python, and each face asks for its own form (`hint_for`).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, Literal

Caller = Literal["python", "cli", "http"]
DID_YOU_MEAN = "did you mean"


class Hint(str):
    """A hint that has a form of its own for each caller; as a string it is the one for Python."""

    cli: str
    http: str

    def __new__(cls, python: str, cli: str, http: str) -> Hint:
        hint = super().__new__(cls, python)
        hint.cli, hint.http = cli, http
        return hint

    def __reduce__(self) -> tuple[Any, ...]:
        return Hint, (str(self), self.cli, self.http)


def say(python: str, *, cli: str = "", http: str = "") -> Hint:
    """A hint for each caller; the one for Python stands in for those that are left out."""
    return Hint(python, cli or python, http or python)


def check_first(then: str) -> Hint:
    """Find all that is damaged, and then do something about it."""
    return say(
        f"run repo.check(), then {then}",
        cli=f"run `vecver check`, then {then}",
        http=f"ask the operator of the service to run `vecver check`, then {then}",
    )


def index_again() -> Hint:
    """Build the indexes of a dataset again."""
    return say(
        "docs.optimize() builds it again; until then search with exact=True",
        cli="`vecver optimize DATASET` builds it again; until then search with --exact",
        http='ask the operator of the service to run `vecver optimize`; until then search with "exact": true',
    )


def publish_again(dataset: str = "DATASET") -> Hint:
    """Restore what is in a Milvus from the repository."""
    return say(
        "docs.republish() restores it from the repository",
        cli=f"`vecver publish {dataset} --rebuild` restores it from the repository",
        http="ask the operator of the service to run `vecver publish --rebuild`: it restores it from the repository",
    )


def hint_for(caller: Caller, hint: str) -> str:
    """The form of a hint that `caller` can follow."""
    return str(getattr(hint, caller, hint))


class VecverError(Exception):
    """Base of the tree. `str(error)` is one sentence; `hint` is the next thing to do.

    A traceback shows the hint too, as a note. With `did_you_mean` in its context, names that exist and resemble the
    one that was given, the hint begins with them.
    """

    exit_code = 1
    http_status = 500

    def __init__(self, message: str, *, code: str, hint: str, **context: Any) -> None:
        super().__init__(message)
        if not context.get("did_you_mean", True):
            del context["did_you_mean"]
        self.message = message
        self.code = code
        self.hint = _suggesting(context.get("did_you_mean", ()), hint)
        self.context = context
        self.add_note(f"hint: {self.hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.code, self.hint, self.context)


class NotFoundError(VecverError, LookupError):
    """The repository, dataset, revision or document that was named does not exist."""

    exit_code = 3
    http_status = 404


class ConflictError(VecverError):
    """Somebody else moved the ref, the name is taken, or a tag would have to move."""

    exit_code = 4
    http_status = 409


class InvalidInputError(VecverError, ValueError):
    """A name, filter, vector, recipe or document cannot be used as given."""

    exit_code = 2
    http_status = 422


class SpaceMismatchError(VecverError):
    """The query or the batch was embedded in another space than the commit's."""

    exit_code = 2
    http_status = 422


class IntegrityError(VecverError):
    """Stored bytes do not match their digest, or have a format that this vecver does not know."""

    exit_code = 5
    http_status = 500


class NotPublishedError(VecverError):
    """The commit is not published in the Milvus that was asked."""

    exit_code = 6
    http_status = 409


class GateError(VecverError):
    """A gate of a promotion does not hold; the alias was not moved. `context["gates"]` has every gate and its value."""

    exit_code = 9
    http_status = 409


class ApprovalError(VecverError):
    """The gates hold, and the alias moves once a second person approves it. `context["approval"]` is what waits."""

    exit_code = 10
    http_status = 202


class AccessError(VecverError):
    """The API key is missing, unknown, or may not do this. (HTTP says 401 to the first two.)"""

    exit_code = 8
    http_status = 403


class BackendError(VecverError):
    """A store, Milvus or an embedder did not answer. `retryable` says if trying again may help."""

    exit_code = 7
    http_status = 503

    def __init__(self, message: str, *, code: str, hint: str, retryable: bool = False, **context: Any) -> None:
        super().__init__(message, code=code, hint=hint, retryable=retryable, **context)

    @property
    def retryable(self) -> bool:
        """May trying again help?"""
        return bool(self.context["retryable"])


def missing_package(needs: str, package: str | None, install: str) -> InvalidInputError:
    """The error where a package is not there: "keyword search needs", its name, and what to install with pip."""
    return InvalidInputError(
        f"{needs} the package {package}",
        code="missing_package",
        hint=f"pip install {shlex.quote(install)}",
        package=package,
    )


def _rebuild(kind: type[VecverError], message: str, code: str, hint: str, context: dict[str, Any]) -> VecverError:
    return kind(message, code=code, hint=hint, **context)


def _suggesting(names: Sequence[str], hint: str) -> str:
    """The hint behind the question whether one of `names` was meant; an error that travelled here has it already."""
    if not names or hint.startswith(DID_YOU_MEAN):
        return hint
    question = f"{DID_YOU_MEAN} {' or '.join(repr(name) for name in names)}? "
    return say(question + hint, cli=question + hint_for("cli", hint), http=question + hint_for("http", hint))
