"""The service on Ray Serve, by the file that docs/serve.md names."""

import json
import os
import socket
import sys
from http.client import HTTPConnection
from pathlib import Path

tree, bundle = sys.argv[1:]
DEPLOY = str(Path(__file__).resolve().parents[4] / "docs" / "deploy")
sys.path.insert(0, DEPLOY)
python_path = os.pathsep.join([DEPLOY, os.environ.get("PYTHONPATH", "")])
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "EDGE_BUNDLES": bundle, "PYTHONPATH": python_path}

import ray  # noqa: E402 - what it reads from the environment is set above
import ray_serve  # noqa: E402
from ray import serve  # noqa: E402

import edge  # noqa: E402

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]


def ask(method, path, body=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": "image/png"} if body else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


surroundings = {"env_vars": {name: os.environ[name] for name in ("EDGE_BUNDLES", "PYTHONPATH")}}
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=surroundings)
serve.start(http_options={"host": "127.0.0.1", "port": port})
one = ray_serve.edge_service.options(autoscaling_config=None, num_replicas=1)
serve.run(one.bind(), name="edge", route_prefix="/")

picture = next(iter(sorted(Path(tree).resolve().rglob("*.png"))))
status, answer = ask("POST", "/predict", picture.read_bytes())
alone = edge.load(bundle).predict(picture)
missing = ask("POST", "/v2/models/nobody/infer", b"{}")
print(
    json.dumps(
        {
            "it is ready": ask("GET", "/v2/health/ready")[0] == 200,
            "a picture is read": status == 200,
            "the same label": answer.get("label") == alone.label,
            "what is missing is told": missing[0] == 404 and "error" in missing[1],
        }
    )
)
serve.shutdown()
ray.shutdown()
