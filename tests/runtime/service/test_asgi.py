"""The service under a server that is not edge's."""

import json
import threading
import time
from http.client import HTTPConnection

import pytest


@pytest.fixture
def port(bundle_path):
    """Of plain uvicorn, which runs the application as any server would, start and end included."""
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra `serve`")
    from edge.service import asgi

    config = uvicorn.Config(asgi.application(str(bundle_path)), port=0, lifespan="on", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def test_another_server_runs_the_same_routes_from_start_to_end(port, bundle_path):
    def ask(path, body=None):
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST" if body else "GET", path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    assert ask("/v2/health/ready")[0] == 200
    images = {"name": "image", "shape": [2, 28, 28], "datatype": "UINT8", "data": [0] * 1568}
    status, answer = ask(f"/v2/models/{bundle_path.stem}/infer", json.dumps({"inputs": [images]}).encode())
    assert status == 200
    shapes = {output["name"]: output["shape"] for output in json.loads(answer)["outputs"]}
    assert shapes["logits"] == [2, 10]
    assert ask("/nowhere")[0] == 404
