"""What KServe's client makes of the service; prints the outcome of each check as JSON.

python kserve_rest.py PORT IMAGES.npy
"""

import asyncio
import json
import sys

import numpy as np
from httpx import HTTPStatusError
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

MODEL = "linear-fp32"
URL = f"http://127.0.0.1:{sys.argv[1]}"
images = np.load(sys.argv[2])


def request(*, binary: bool) -> InferRequest:
    given = InferInput("image", list(images.shape), "UINT8")
    given.set_data_from_numpy(images, binary_data=binary)
    return InferRequest(MODEL, [given], request_id="7")


async def unknown(client: InferenceRESTClient) -> bool:
    try:
        await client.infer(URL, request(binary=False), model_name="nobody")
    except HTTPStatusError as error:
        return error.response.status_code == 404
    return False


async def main() -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2", verbose=False))
    found = await client.infer(URL, request(binary=False), model_name=MODEL)
    binary = await client.infer(URL, request(binary=True), model_name=MODEL)
    first, second = (answer.outputs[1].as_numpy() for answer in (found, binary))
    checks = {
        "live": await client.is_server_live(URL),
        "ready": await client.is_server_ready(URL),
        "model ready": await client.is_model_ready(URL, MODEL),
        "JSON": first.shape == (5, 10) and bool(np.allclose(first.sum(axis=1), 1, atol=1e-5)),
        "binary": bool(np.array_equal(first, second)),
        "the answer repeats the id": found.id == "7",
        "names": [output.name for output in found.outputs] == ["logits", "probabilities"],
        "an unknown model is told": await unknown(client),
    }
    print(json.dumps({name: bool(outcome) for name, outcome in checks.items()}))


asyncio.run(main())
