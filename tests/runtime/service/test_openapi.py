"""The OpenAPI document: every route stands in it, and answers are as it says."""

import re

import pytest

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from edge.service import openapi

PATHS = openapi.document()["paths"]


def test_every_address_of_the_document_is_answered(client):
    for path, methods in PATHS.items():
        for method in methods:
            reply = client.ask(method.upper(), path.replace("{model}", "linear-fp32").replace("{version}", "1"))
            assert reply.status not in {404, 405}, path


def test_every_reference_is_defined():
    document = openapi.document()
    defined = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(re.findall(r"#/components/schemas/\w+", repr(document))) <= defined


def test_every_operation_has_a_name_of_its_own():
    names = [facts["operationId"] for methods in PATHS.values() for facts in methods.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("path", "schema"),
    [("/v2", "ServerMetadata"), ("/v2/models/linear-fp32", "ModelMetadata"), ("/nothing", "Error")],
)
def test_answers_have_what_their_schema_requires(client, path, schema):
    required = openapi.document()["components"]["schemas"][schema]["required"]
    assert set(required) <= set(client.get(path).json)
