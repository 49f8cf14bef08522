"""The API as an OpenAPI document, which `/docs` shows and other programs read."""

from typing import Any

import edge
from edge.bundle.input import COLUMNS, NAME, ROWS

_ERROR = {
    "description": "What happened, and what to do next.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
_ERRORS = {
    "400": "No such request.",
    "401": "The service wants a key.",
    "404": "No such model or address.",
    "408": "The body came too slowly.",
    "413": "More than the limits allow.",
    "422": "A picture that cannot be read, is blank or shows several digits.",
    "501": "Picture files, and a bundle made with a later picture recipe: send 28x28 images.",
    "503": "The queue is full; `Retry-After` says when to try again.",
}


def document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edge",
            "version": edge.__version__,
            "description": "Verified digit classifiers: tensors by the Open Inference Protocol v2, or picture files.",
            "license": {"name": "see the project", "identifier": "LicenseRef-edge"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"key": []}],
        "paths": {**_protocol_paths(), **_picture_paths(), **_operation_paths()},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _get(
    summary: str,
    schema: dict[str, Any],
    *,
    name: str,
    parameters: list[dict[str, Any]] | None = None,
    kind: str = "application/json",
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "Done.", "content": {kind: {"schema": schema}}}, "401": _ERROR},
    }
    if parameters:
        operation["parameters"] = parameters
        operation["responses"]["404"] = _ERROR
    return {"get": operation}


def _in_path(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


def _in_query(name: str, description: str, kind: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind}}


_MODEL = _in_path("model", "Name of a bundle.")
_VERSION = _in_path("version", "Always 1: the digest tells what a bundle is.")


def _protocol_paths() -> dict[str, Any]:
    true = {"type": "boolean"}
    reference = {"$ref": "#/components/schemas/ModelMetadata"}
    ready = {"type": "object", "properties": {"name": {"type": "string"}, "ready": true}, "required": ["name", "ready"]}
    paths: dict[str, Any] = {
        "/v2": _get("What the server is", {"$ref": "#/components/schemas/ServerMetadata"}, name="server"),
        "/v2/health/live": _get(
            "Whether the service lives", {"type": "object", "properties": {"live": true}}, name="live"
        ),
        "/v2/health/ready": _get(
            "Whether every bundle replayed its evidence",
            {"type": "object", "properties": {"ready": true}},
            name="ready",
        ),
        "/v2/models": _get("The bundles that are served", {"type": "object"}, name="models"),
    }
    for prefix, parameters, tag in (
        ("/v2/models/{model}", [_MODEL], ""),
        ("/v2/models/{model}/versions/{version}", [_MODEL, _VERSION], "Version"),
    ):
        paths[prefix] = _get("What a model takes and gives", reference, name=f"model{tag}", parameters=parameters)
        paths[prefix + "/ready"] = _get(
            "Whether a model is ready", ready, name=f"modelReady{tag}", parameters=parameters
        )
        paths[prefix + "/infer"] = {"post": _infer(f"infer{tag}", parameters)}
    return paths


def _infer(name: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": "Classify images",
        "description": (
            f"Input `{NAME}`: UINT8 [N, {ROWS}, {COLUMNS}], ink 255 on background 0; or BYTES [N], picture files, "
            "base64 in JSON. Outputs: `logits`, `probabilities` and, where the bundle can say, `score`. Binary "
            "tensors: header `Inference-Header-Content-Length`, `binary_data_size`, `binary_data`, "
            "`binary_data_output`. An output with the parameter `classification: K` gives its K best classes as "
            "`value:index:label`. Bodies may be gzip or deflate, both ways."
        ),
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/InferenceRequest"}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": {
                "description": "The outputs.",
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/InferenceResponse"}},
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **{code: {**_ERROR, "description": text} for code, text in _ERRORS.items()},
        },
    }


def _picture_paths() -> dict[str, Any]:
    model = _in_query("model", "Name of a bundle; the first one without.", "string")
    top = _in_query("top", "Only the K most probable labels.", "integer")
    image = _in_query("image", "1: with the 28x28 image that the model saw, base64.", "string")
    return {
        "/predict": {"post": _pictures("predict", "Say what pictures show", "Prediction", [model, top, image])},
        "/read": {"post": _pictures("read", "Read every digit of pictures", "Page", [model])},
        "/explain": {"post": _pictures("explain", "Show why a picture is read as it is", "Explanation", [model])},
    }


def _pictures(name: str, summary: str, schema: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    one = {"anyOf": [{"$ref": f"#/components/schemas/{schema}"}, {"$ref": "#/components/schemas/PictureError"}]}
    return {
        "operationId": name,
        "summary": summary,
        "description": (
            "A picture file as the body gets one record, status 422 where it cannot be read. A form "
            "(multipart/form-data) gets an array with a record for each of its files. A body of type "
            f"application/octet-stream with exactly {ROWS * COLUMNS} bytes is a {ROWS}x{COLUMNS} image already."
        ),
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": {"type": "string", "format": "binary"}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                    }
                },
            },
        },
        "responses": {
            "200": {
                "description": "A record, or an array of them for a form.",
                "content": {"application/json": {"schema": {"anyOf": [one, {"type": "array", "items": one}]}}},
            },
            **{code: {**_ERROR, "description": text} for code, text in _ERRORS.items()},
        },
    }


def _operation_paths() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "/metrics": _get("Figures for Prometheus", text, name="metrics", kind="text/plain"),
        "/openapi.json": _get("This document", {"type": "object"}, name="openapi"),
        "/docs": _get("This document as a page", text, name="docs", kind="text/html"),
        "/": _get("A page to draw on", text, name="page", kind="text/html"),
    }


def _schemas() -> dict[str, Any]:
    string, number, boolean, integer = {"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "integer"}
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": string,
            "datatype": {"enum": ["UINT8", "FP32", "BYTES"]},
            "shape": {"type": "array", "items": integer},
            "parameters": {"type": "object"},
            "data": {"type": "array"},
        },
    }
    described = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {"name": string, "datatype": string, "shape": {"type": "array", "items": integer}},
    }
    prediction = {
        "path": string,
        "label": string,
        "confidence": number,
        "probabilities": {"type": "object", "additionalProperties": number},
        "model": string,
        "provider": string,
        "rejected": boolean,
        "score": {"type": ["number", "null"]},
        "image": string,
    }
    digit = {
        "label": string,
        "confidence": number,
        "box": {"type": "array", "items": integer},
        "rejected": boolean,
    }
    return {
        "Error": {"type": "object", "required": ["error"], "properties": {"error": string}},
        "PictureError": {
            "type": "object",
            "required": ["path", "error"],
            "properties": {"path": string, "error": string, "digits": integer},
        },
        "ServerMetadata": {
            "type": "object",
            "required": ["name", "version", "extensions"],
            "properties": {"name": string, "version": string, "extensions": {"type": "array", "items": string}},
        },
        "ModelMetadata": {
            "type": "object",
            "required": ["name", "platform", "inputs", "outputs"],
            "properties": {
                "name": string,
                "versions": {"type": "array", "items": string},
                "platform": string,
                "inputs": {"type": "array", "items": described},
                "outputs": {"type": "array", "items": described},
            },
        },
        "InferenceRequest": {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": string,
                "parameters": {"type": "object"},
                "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": tensor},
                "outputs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": string, "parameters": {"type": "object"}},
                    },
                },
            },
        },
        "InferenceResponse": {
            "type": "object",
            "required": ["model_name", "outputs"],
            "properties": {
                "model_name": string,
                "model_version": string,
                "id": string,
                "outputs": {"type": "array", "items": tensor},
            },
        },
        "Prediction": {
            "type": "object",
            "required": ["path", "label", "confidence", "probabilities", "model", "provider", "rejected"],
            "properties": prediction,
        },
        "Page": {
            "type": "object",
            "required": ["path", "lines", "unread", "model", "provider"],
            "properties": {
                "path": string,
                "lines": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "text": string,
                            "digits": {"type": "array", "items": {"type": "object", "properties": digit}},
                        },
                    },
                },
                "unread": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"box": digit["box"]}},
                },
                "model": string,
                "provider": string,
            },
        },
        "Explanation": {
            "type": "object",
            "required": ["path", "label", "confidence", "rejected", "model", "labels"],
            "properties": {
                "path": string,
                "label": string,
                "confidence": number,
                "rejected": boolean,
                "model": string,
                "labels": {"type": "array", "items": string},
                "rows": {"type": "array", "items": {"type": "array", "items": number}},
                "settled_row": {"type": ["integer", "null"]},
                "patch": integer,
                "drop": {"type": "array", "items": {"type": "array", "items": number}},
                "most": {"type": "object", "properties": {"row": integer, "column": integer}},
            },
        },
    }
