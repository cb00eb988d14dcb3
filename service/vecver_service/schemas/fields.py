"""The names of the fields of all bodies. A problem suggests the nearest of them for a misspelt field."""

from __future__ import annotations

from vecver_service.schemas import evaluating, openai, requests

BODIES: tuple[type[requests.Request], ...] = (
    *(requests.Search, requests.Receipt, requests.ListDocuments, requests.GetDocuments, requests.ListChunks),
    *(
        requests.Count,
        requests.Put,
        requests.Promote,
        requests.Rollback,
        requests.Policy,
        requests.NeedsApproval,
        requests.Approve,
        requests.Reject,
        requests.Publish,
        requests.Documents,
    ),
    *(requests.Rows, requests.Rename, requests.Delete, requests.Merge, requests.ReadObjects),
    *(
        evaluating.Questions,
        evaluating.Eval,
        evaluating.Compare,
        evaluating.Tune,
        evaluating.MeasureHistoryOf,
        evaluating.Bisect,
    ),
    *(openai.VectorStoreSearch, openai.Ranking, openai.Comparison, openai.Compound),
)
FIELD_NAMES = {name for body in BODIES for name in body.model_fields}
